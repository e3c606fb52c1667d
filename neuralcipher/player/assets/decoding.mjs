// The two workers: one opens the bundle and decodes frames ahead, the other repairs them. Frames go from the first to
// the second, and as pictures to the page, which says how many it has room for.
import { fromBase64 } from "./bytes.mjs";
import { Bundle } from "./bundle.mjs";
import { Codec, compileCodec, loadPrior } from "./codec.mjs";
import { readSegments, readSound, readVideo } from "./description.mjs";
import { Keystream, knownGenerators, makeGenerator } from "./generators.mjs";
import { LatentReader, readHead } from "./latents.mjs";
import { payloadDamaged, Problem, unsupported } from "./problem.mjs";
import { Repair } from "./repair.mjs";
import { keystreamBytes, readKey, readPassphrase } from "./secrets.mjs";
import { LatentSection } from "./section.mjs";
import { shownFrames, Synthesis } from "./synthesis.mjs";

const ELSEWHERE = "open the bundle with ncipher open, which renders every flow";

// A video that is open: frames from any place on.
export class Film {
  // parts: codec, prior and network, as base64.
  static async create(bundle, parts) {
    const film = new Film();
    const module = await compileCodec(parts.codec);
    film.bundle = bundle;
    film.codec = await Codec.create(module);
    film.generatorCodec = await Codec.create(module);
    film.tables = loadPrior(film.codec, fromBase64(parts.prior));
    film.network = fromBase64(parts.network);
    film.marks = [film.codec.bottom, film.generatorCodec.bottom];
    await bundle.readDirectory();
    film.video = await readVideo(bundle);
    film.segments = readSegments(bundle, film.video);
    film.segments.forEach(checkKnown);
    return film;
  }

  // {index, level, folded} from frame `start` on, each time a segment begins after {head, height, width, rows, columns};
  // null after work that shows nothing yet.
  async *frames(start) {
    for (const segment of this.segments) {
      if (segment.first + segment.frames <= start) continue;
      const { section, reader, synthesis, head } = await this.load(segment);
      yield { head, height: section.height, width: section.width, rows: reader.height, columns: reader.width };
      for (const frame of shownFrames(reader, synthesis, Math.max(0, start - segment.first))) {
        yield frame && { ...frame, index: frame.index + segment.first };
      }
    }
  }

  // {section, reader, head, synthesis} of a segment; the reader stays for as long as no other segment is asked for.
  async load(segment) {
    const { codec } = this;
    if (this.loaded?.segment !== segment) this.loaded = { segment, ...(await this.read(segment)) };
    codec.release(this.marks[0]);
    const { reader, head } = this.loaded;
    return { ...this.loaded, synthesis: new Synthesis(codec, reader.height, reader.width, head.quality) };
  }

  async read(segment) {
    const { bundle, codec, generatorCodec, video } = this;
    this.loaded = null;
    codec.release(this.marks[0]);
    generatorCodec.release(this.marks[1]);
    const section = LatentSection.parse(await bundle.readSection(segment.flow));
    if (section.height !== video.height || section.width !== video.width) {
      throw payloadDamaged(`${bundle.name} has a segment of another picture size`, "");
    }
    if (section.frames !== segment.frames) {
      const what = `segment ${segment.number} of ${bundle.name} has ${section.frames} frames`;
      throw payloadDamaged(`${what}, not ${segment.frames}`, "");
    }
    const data = await bundle.readSection(segment.generator);
    const generator = makeGenerator(segment.generator.attributes.name, data, section.latentBytes, generatorCodec);
    const seed = await bundle.seed(segment.number);
    const keystream = new Keystream(generator, keystreamBytes(seed, section.latentBytes));
    const head = readHead(section, keystream, codec, this.network);
    return { section, head, reader: new LatentReader(section, keystream, codec, this.tables, head.quality) };
  }
}

function checkKnown({ flow, generator }) {
  const [made, drawn] = [generator.attributes.name, flow.attributes.name];
  if (drawn !== "latent") throw unsupported(`the player cannot render the flow ${drawn}`, ELSEWHERE);
  if (!knownGenerators.includes(made)) throw unsupported(`the player cannot run the generator ${made}`, ELSEWHERE);
}

const told = (error) =>
  error instanceof Problem
    ? { kind: error.kind, message: error.message, hint: error.hint }
    : { kind: "Error", message: `the player failed: ${error.message}`, hint: ELSEWHERE };

// Let messages in between two frames.
function breathe() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

// Serve one page: `onmessage` takes {do: name, ...}.
export class Decoder {
  constructor(send) {
    this.send = send;
    this.run = 0;
    this.room = 0;
  }

  // bytes: of the bundle.
  load({ bytes, name, parts, repairer }) {
    Object.assign(this, { file: new Uint8Array(bytes), name, parts, repairer });
    return this.attempt(async () => {
      this.bundle = await Bundle.open(this.file, name);
      const kinds = this.bundle.header.slots.map((slot) => slot.kind);
      this.send({ is: "locked", suite: this.bundle.suite, kinds });
    });
  }

  unlock({ key, keyName, passphrase }) {
    return this.attempt(async () => {
      const credential = key ? readKey(new Uint8Array(key), keyName) : readPassphrase(passphrase);
      await this.bundle.unlock(credential);
      this.film = await Film.create(this.bundle, this.parts);
      const sound = await readSound(this.bundle, this.film.video);
      this.send({ is: "open", video: this.film.video, sound });
    });
  }

  // Show from a frame on; what was asked for before is dropped.
  async show({ frame, room, run }) {
    this.run = run;
    this.room = room;
    this.wake?.();
    await this.stopped;
    if (run === this.run) this.stopped = this.attempt(() => this.pump(frame, run));
  }

  more({ count, run }) {
    if (run !== this.run) return;
    this.room += count;
    this.wake?.();
  }

  async pump(frame, run) {
    for await (const next of this.film.frames(frame)) {
      if (!next) {
        await breathe();
        if (run !== this.run) return;
        continue;
      }
      if (next.head) {
        this.repairer.postMessage({ do: "begin", ...next });
        continue;
      }
      while (this.room <= 0 && run === this.run) await new Promise((resolve) => Object.assign(this, { wake: resolve }));
      if (run !== this.run) return;
      this.room--;
      this.repairer.postMessage({ do: "repair", run, ...next }, [next.folded.buffer]);
      await breathe();
      if (run !== this.run) return;
    }
    this.repairer.postMessage({ do: "end", run });
  }

  async attempt(work) {
    try {
      await work();
    } catch (error) {
      this.send({ is: "problem", ...told(error) });
    }
  }
}

export class Repairer {
  constructor(send) {
    this.send = send;
  }

  async load({ parts }) {
    this.codec = await Codec.create(await compileCodec(parts.codec));
    this.mark = this.codec.bottom;
  }

  begin({ head, height, width, rows, columns }) {
    this.codec.release(this.mark);
    this.repair = new Repair(this.codec, head, height, width, rows, columns);
  }

  work({ run, index, level, folded }) {
    const picture = this.repair.picture({ level, folded });
    this.send({ is: "picture", run, index, picture: picture.buffer }, [picture.buffer]);
  }

  end({ run }) {
    this.send({ is: "end", run });
  }
}

// What a worker runs. The first message says which of the two it is.
export function serve(scope) {
  const send = (message, transfer = []) => scope.postMessage(message, transfer);
  let served = Promise.resolve();
  scope.onmessage = ({ data, ports }) => {
    if (data.do === "decode") {
      const decoder = new Decoder(send);
      scope.onmessage = (event) => decoder[event.data.do](event.data);
      decoder.load({ ...data, repairer: ports[0] });
      return;
    }
    const repairer = new Repairer(send);
    served = repairer.load(data);
    ports[0].onmessage = (event) => {
      const { do: what } = event.data;
      served = served.then(() => repairer[what === "repair" ? "work" : what](event.data));
    };
  };
}
