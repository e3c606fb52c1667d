// Sound: packets are decoded a little ahead, by the browser or, where they hold plain samples, here.

const AHEAD_S = 1.5;
const PREROLL_S = 0.1; // some codecs need what came before
const PCM = /^pcm_(u8|s16|s24|s32|f32|f64)(le|be)?$/;
const KEEP_EVERY_MS = 200;

// WebCodecs' configuration of a track, or null where it has no name for the codec.
export function decoderConfig({ codec, extradata, sampleRate, channels }) {
  const config = { sampleRate, numberOfChannels: channels };
  if (extradata.length) config.description = extradata;
  if (codec === "aac") return { ...config, codec: `mp4a.40.${extradata.length ? extradata[0] >> 3 || 2 : 2}` };
  if (codec === "mp3" || codec === "vorbis") return { ...config, codec };
  if (codec === "opus") {
    // Times say what is heard: without the description nothing is cut off at the start a second time.
    if (channels <= 2) delete config.description;
    return { ...config, codec, sampleRate: 48_000 };
  }
  if (codec === "flac") {
    const whole = new Uint8Array(8 + extradata.length);
    whole.set([0x66, 0x4c, 0x61, 0x43, 0x80, 0, 0, extradata.length]);
    whole.set(extradata, 8);
    return { ...config, codec, description: whole };
  }
  return null;
}

// Plain samples as one Float32Array a channel.
export function samplesOf(codec, data, channels) {
  const [, kind, order] = PCM.exec(codec);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const little = order !== "be";
  const width = kind === "u8" ? 1 : Number(kind.slice(1)) / 8;
  const read = {
    u8: (at) => (view.getUint8(at) - 128) / 128,
    s16: (at) => view.getInt16(at, little) / 2 ** 15,
    s24: (at) => (little ? view.getInt16(at + 1, true) * 256 + view.getUint8(at) : view.getInt16(at) * 256 + view.getUint8(at + 2)) / 2 ** 23,
    s32: (at) => view.getInt32(at, little) / 2 ** 31,
    f32: (at) => view.getFloat32(at, little),
    f64: (at) => view.getFloat64(at, little),
  }[kind];
  const count = Math.floor(data.length / width / channels);
  return Array.from({ length: channels }, (_, c) => Float32Array.from({ length: count }, (_, i) => read((i * channels + c) * width)));
}

// Plays a track in step with a clock of its own, which the pictures follow.
export class Sound {
  // Returns a Sound, or null where this browser cannot decode the track.
  static async create(track) {
    if (!track.packets.length || !track.channels || typeof AudioContext === "undefined") return null;
    if (PCM.test(track.codec)) return new Sound(track, null);
    const config = decoderConfig(track);
    if (!config || typeof AudioDecoder === "undefined") return null;
    try {
      const { supported } = await AudioDecoder.isConfigSupported(config);
      return supported ? new Sound(track, config) : null;
    } catch {
      return null;
    }
  }

  constructor(track, config) {
    Object.assign(this, { track, config, volume: 1, playing: false, nodes: new Set(), offset: 0 });
  }

  // The time of what is heard, in seconds of the video.
  get time() {
    return this.context ? this.context.currentTime + this.offset : 0;
  }

  async play(from) {
    this.stop();
    this.context ??= new AudioContext();
    this.gain ??= this.context.createGain();
    this.gain.connect(this.context.destination);
    this.setVolume(this.volume);
    await this.context.resume();
    this.offset = from - this.context.currentTime;
    this.next = this.track.packets.findIndex((packet) => packet.start + packet.duration > from - PREROLL_S);
    if (this.next < 0) this.next = this.track.packets.length;
    this.playing = true;
    this.begin();
    this.feed();
    this.timer = setInterval(() => this.feed(), KEEP_EVERY_MS);
  }

  begin() {
    if (!this.config) return;
    const decoder = new AudioDecoder({
      output: (data) => {
        if (decoder === this.decoder) this.schedule(copied(data), data.sampleRate, data.timestamp / 1e6);
        data.close();
      },
      error: () => {
        this.failed = true;
      },
    });
    decoder.configure(this.config);
    this.decoder = decoder;
  }

  feed() {
    const { packets, codec, channels, sampleRate } = this.track;
    while (this.playing && !this.failed && this.next < packets.length && packets[this.next].start < this.time + AHEAD_S) {
      const { start, duration, data } = packets[this.next++];
      if (!this.config) {
        this.schedule(samplesOf(codec, data, channels), sampleRate, start);
        continue;
      }
      const timestamp = Math.round(start * 1e6);
      this.decoder.decode(new EncodedAudioChunk({ type: "key", timestamp, duration: Math.round(duration * 1e6), data }));
    }
  }

  schedule(planes, sampleRate, start) {
    if (!planes[0].length || !this.playing) return;
    const buffer = this.context.createBuffer(planes.length, planes[0].length, sampleRate);
    planes.forEach((plane, i) => buffer.copyToChannel(plane, i));
    const node = this.context.createBufferSource();
    node.buffer = buffer;
    node.connect(this.gain);
    // What lies before now, or before the video, is not heard.
    const late = Math.max(this.time - start, -start, 0);
    if (late >= buffer.duration) return;
    node.onended = () => this.nodes.delete(node);
    this.nodes.add(node);
    node.start(Math.max(this.context.currentTime, start + late - this.offset), late);
  }

  stop() {
    this.playing = false;
    clearInterval(this.timer);
    for (const node of this.nodes) node.stop();
    this.nodes.clear();
    if (this.decoder && this.decoder.state !== "closed") this.decoder.close();
    this.decoder = null;
  }

  setVolume(volume) {
    this.volume = volume;
    if (this.gain) this.gain.gain.value = volume;
  }
}

function copied(data) {
  return Array.from({ length: data.numberOfChannels }, (_, planeIndex) => {
    const plane = new Float32Array(data.numberOfFrames);
    data.copyTo(plane, { planeIndex, format: "f32-planar" });
    return plane;
  });
}
