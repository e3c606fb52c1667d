// The page: a form for the key, then the picture and its controls.
import { fromBase64 } from "./bytes.mjs";
import { serve } from "./decoding.mjs";
import { Playback, SilentClock } from "./playback.mjs";
import { Sound } from "./sound.mjs";

const JUMP_S = 5;
const find = (id) => document.getElementById(id);

function clockText(seconds) {
  const whole = Math.floor(seconds);
  const [minutes, rest] = [Math.floor(whole / 60) % 60, String(whole % 60).padStart(2, "0")];
  const hours = Math.floor(whole / 3600);
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

class Page {
  constructor() {
    this.parts = JSON.parse(find("parts").textContent);
    find("lock").addEventListener("submit", (event) => {
      event.preventDefault();
      this.unlock();
    });
    find("file").addEventListener("change", () => this.choose());
    find("key").addEventListener("change", () => find("key").value && find("passphrase").value && (find("passphrase").value = ""));
    const embedded = find("bundle");
    if (embedded) {
      this.begin(fromBase64(embedded.textContent), embedded.dataset.name);
      embedded.remove();
    } else {
      find("choose").hidden = false;
      this.say("choose a bundle");
    }
  }

  say(text) {
    find("status").textContent = text;
  }

  fail({ message, hint }) {
    find("problem").textContent = hint ? `${message}: ${hint}` : message;
    this.say("");
    find("open").disabled = false;
  }

  async choose() {
    const [file] = find("file").files;
    if (file) this.begin(new Uint8Array(await file.arrayBuffer()), file.name);
  }

  // Start the workers with a bundle.
  begin(bytes, name) {
    find("problem").textContent = "";
    if (!globalThis.isSecureContext || !crypto.subtle) {
      this.fail({ message: "this page needs the browser's cryptography", hint: "open it as a file, over https, or with ncipher view" });
      return;
    }
    this.name = name;
    this.workers?.forEach((worker) => worker.terminate());
    const program = new Blob([find("program").textContent], { type: "text/javascript" });
    const url = URL.createObjectURL(program);
    this.workers = [new Worker(url), new Worker(url)];
    URL.revokeObjectURL(url);
    const [decoder, repairer] = this.workers;
    const { port1, port2 } = new MessageChannel();
    decoder.onmessage = repairer.onmessage = ({ data }) => this[data.is](data);
    decoder.onerror = repairer.onerror = (event) => this.fail({ message: `the player failed: ${event.message}`, hint: "" });
    repairer.postMessage({ do: "repair", parts: this.parts }, [port2]);
    decoder.postMessage({ do: "decode", bytes: bytes.buffer, name, parts: this.parts }, [bytes.buffer, port1]);
  }

  locked({ suite, kinds }) {
    const bare = suite === "bare";
    find("key-row").hidden = !bare && !kinds.includes("key");
    find("passphrase-row").hidden = bare || !kinds.includes("passphrase");
    find("bare").hidden = !bare;
    find("lock").hidden = false;
    this.say(`${this.name} is ${bare ? "bare" : "locked"}`);
    (find("key-row").hidden ? find("passphrase") : find("key")).focus();
  }

  async unlock() {
    const [file] = find("key").files;
    const passphrase = find("passphrase").value;
    find("problem").textContent = "";
    if (!file && !passphrase) {
      this.fail({ message: "no key was given", hint: find("passphrase-row").hidden ? "choose the key file" : "choose a key file or type a passphrase" });
      return;
    }
    find("open").disabled = true;
    this.say("opening");
    // A key file has 32 bytes: of anything else, no more than it takes to say so is read.
    const key = file && !passphrase ? await file.slice(0, 33).arrayBuffer() : null;
    this.workers[0].postMessage({ do: "unlock", key, keyName: file?.name, passphrase }, key ? [key] : []);
  }

  problem(problem) {
    this.fail(problem);
    this.playback?.pause();
  }

  async open({ video, sound }) {
    find("lock").reset();
    find("lock").hidden = true;
    find("choose").hidden = true;
    const canvas = find("picture");
    [canvas.width, canvas.height] = [video.width, video.height];
    canvas.style.aspectRatio = `${video.width * video.aspect} / ${video.height}`;
    canvas.setAttribute("aria-label", `${video.name}, ${video.width} by ${video.height} pixels`);
    find("title").textContent = video.name;
    document.title = video.name;
    find("seek").max = video.frames - 1;
    find("stage").hidden = false;
    this.video = video;
    this.sound = sound && (await Sound.create(sound));
    find("mute").hidden = !this.sound;
    if (sound && !this.sound) {
      find("note").textContent = `this browser cannot decode the sound (${sound.codec}), so that the video is silent: ncipher open writes it with its sound`;
    }
    const ask = (message) => this.workers[0].postMessage(message);
    this.playback = new Playback(video, canvas, this.sound ?? new SilentClock(), ask, () => this.update());
    this.listen();
    find("play").focus();
    this.say(`${video.name} is open: ${clockText(video.end)}, ${video.frames} frames`);
  }

  picture(message) {
    this.playback.picture(message);
  }

  end(message) {
    this.playback.end(message);
  }

  listen() {
    const { playback } = this;
    find("play").addEventListener("click", () => playback.toggle());
    find("back").addEventListener("click", () => playback.jump(-JUMP_S));
    find("forward").addEventListener("click", () => playback.jump(JUMP_S));
    find("mute").addEventListener("click", () => this.mute());
    find("full").addEventListener("click", () => this.full());
    find("seek").addEventListener("input", () => playback.seek(Number(find("seek").value)));
    document.addEventListener("visibilitychange", () => document.hidden && playback.playing && playback.pause());
    document.addEventListener("keydown", (event) => this.pressed(event));
  }

  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    // On a button the space bar presses it.
    if (event.key === " " && event.target instanceof HTMLButtonElement) return;
    const { playback, video } = this;
    const actions = {
      " ": () => playback.toggle(),
      ArrowLeft: () => playback.jump(-JUMP_S),
      ArrowRight: () => playback.jump(JUMP_S),
      ",": () => playback.step(-1),
      ".": () => playback.step(1),
      Home: () => playback.seek(0),
      End: () => playback.seek(video.frames - 1),
      m: () => this.mute(),
      f: () => this.full(),
    };
    if (!Object.hasOwn(actions, event.key)) return;
    event.preventDefault();
    actions[event.key]();
  }

  mute() {
    if (!this.sound) return;
    this.sound.setVolume(this.sound.volume ? 0 : 1);
    this.update();
  }

  full() {
    if (document.fullscreenElement) document.exitFullscreen();
    else find("stage").requestFullscreen();
  }

  update() {
    const { playback, video } = this;
    if (!playback) return;
    const frame = playback.waiting ? playback.wanted : Math.max(playback.shown, 0);
    const time = `${clockText(video.starts[frame])} of ${clockText(video.end)}`;
    find("picture").setAttribute("aria-busy", playback.waiting);
    find("play").textContent = playback.playing ? "Pause" : "Play";
    find("seek").value = frame;
    find("seek").setAttribute("aria-valuetext", time);
    find("time").textContent = `${clockText(video.starts[frame])} / ${clockText(video.end)}`;
    find("mute").textContent = this.sound?.volume === 0 ? "Sound on" : "Sound off";
  }
}

export function run() {
  if (typeof document === "undefined") serve(globalThis);
  else new Page();
}
