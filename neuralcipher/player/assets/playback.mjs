// What is shown when: a few pictures ahead, the clock that they follow, and jumps. No element of the page is known here
// but a canvas.

const MOST_BYTES = 48 << 20; // of pictures that wait
const LATE_S = 0.25; // behind the clock by more: the clock waits

// A clock of its own, for videos whose sound cannot be heard.
export class SilentClock {
  async play(from) {
    this.from = from;
    this.began = performance.now();
  }

  get time() {
    return this.from + (performance.now() - this.began) / 1000;
  }

  stop() {}
}

export class Playback {
  // video: of `readVideo`. clock: a Sound or SilentClock. ask: sends to the decoder. changed: called when what can be
  // seen of the state changes.
  constructor(video, canvas, clock, ask, changed) {
    Object.assign(this, { video, canvas, clock, ask, changed });
    this.context = canvas.getContext("2d", { alpha: false });
    this.room = Math.min(16, Math.max(3, Math.floor(MOST_BYTES / (video.width * video.height * 4))));
    this.pictures = new Map();
    this.run = 0;
    this.shown = -1;
    this.playing = false;
    this.waiting = true; // for pictures
    this.seek(0);
    const tick = () => {
      this.tick();
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  seek(frame) {
    this.clock.stop();
    this.run++;
    this.pictures.clear();
    this.wanted = Math.min(Math.max(frame, 0), this.video.frames - 1);
    this.ended = false;
    this.waiting = true;
    this.ask({ do: "show", frame: this.wanted, room: this.room, run: this.run });
    this.changed();
  }

  // Frames forward or back from what is seen, or was last asked for.
  step(frames) {
    this.seek((this.waiting ? this.wanted : this.shown) + frames);
  }

  jump(seconds) {
    const from = this.video.starts[this.waiting ? this.wanted : Math.max(this.shown, 0)];
    this.seek(this.frameAt(from + seconds));
  }

  toggle() {
    if (this.playing) return this.pause();
    if (this.shown === this.video.frames - 1 && !this.waiting) this.seek(0);
    this.playing = true;
    this.waiting = true;
    this.changed();
  }

  pause() {
    this.playing = false;
    this.clock.stop();
    this.changed();
  }

  picture({ run, index, picture }) {
    if (run === this.run) this.pictures.set(index, picture);
  }

  end({ run }) {
    if (run === this.run) this.ended = true;
  }

  // The frame that is on the screen at a time.
  frameAt(time) {
    const { starts } = this.video;
    let [low, high] = [0, starts.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle] <= time) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  tick() {
    if (this.waiting) this.becomeReady();
    if (!this.playing || this.waiting) return;
    const { time } = this.clock;
    const target = this.frameAt(time);
    const due = [...this.pictures.keys()].filter((index) => index <= target);
    if (due.length) this.draw(Math.max(...due));
    if (time >= this.video.end && this.shown === this.video.frames - 1) {
      this.pause();
    } else if (!this.pictures.size && !this.ended && time - this.video.starts[this.shown] > LATE_S) {
      this.clock.stop();
      this.wanted = Math.min(this.shown + 1, this.video.frames - 1);
      this.waiting = true;
    }
  }

  // Show the wanted picture as soon as it is there; play on once some are.
  becomeReady() {
    if (this.shown !== this.wanted && this.pictures.has(this.wanted)) this.draw(this.wanted);
    if (this.shown !== this.wanted) return;
    if (!this.playing) {
      this.waiting = false;
      this.changed();
      return;
    }
    if (this.starting || (!this.ended && this.pictures.size < this.room / 2)) return;
    this.starting = true;
    const { run } = this;
    this.clock.play(this.video.starts[this.shown]).then(() => {
      this.starting = false;
      if (run !== this.run || !this.playing) {
        this.clock.stop();
        return;
      }
      this.waiting = false;
      this.changed();
    });
  }

  draw(index) {
    const { width, height } = this.video;
    const picture = new Uint8ClampedArray(this.pictures.get(index));
    this.context.putImageData(new ImageData(picture, width, height), 0, 0);
    this.shown = index;
    this.canvas.dataset.frame = index;
    let count = 0;
    for (const other of this.pictures.keys()) {
      if (other > index) continue;
      this.pictures.delete(other);
      count++;
    }
    this.ask({ do: "more", count, run: this.run });
    this.changed();
  }
}
