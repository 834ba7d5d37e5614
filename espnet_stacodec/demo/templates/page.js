"use strict";
// The codes are kept here: another number of codebooks is decoded again, never encoded again.
const codec = JSON.parse(document.body.dataset.codec);
const $ = (id) => document.getElementById(id);
const BLOCK = Math.round(codec.rate / 200); // samples of one value of a drawn wave, 5 ms
const SHORTEST_AXIS = 5; // seconds, while it grows
const MOST_WAITING = 0.5; // seconds of resynthesis that wait to be played; more is passed over
const GONE = "The server does not answer; was `stacodec demo` ended?";

// -- samples ---------------------------------------------------------------------------------

class Samples { // 16-bit audio that grows
  constructor() { this.pieces = []; this.length = 0; this.peaks = []; this.rest = 0; this.top = 0; }
  static of(samples) { const all = new Samples(); all.push(samples); return all; }
  push(piece) {
    this.pieces.push(piece);
    this.length += piece.length;
    for (const sample of piece) {
      this.top = Math.max(this.top, Math.abs(sample));
      if (++this.rest === BLOCK) { this.peaks.push(this.top / 32768); this.rest = this.top = 0; }
    }
  }
  wav() {
    const bytes = 2 * this.length, head = new DataView(new ArrayBuffer(44));
    const text = (place, word) => [...word].forEach((c, i) => head.setUint8(place + i, c.charCodeAt(0)));
    text(0, "RIFF"); head.setUint32(4, 36 + bytes, true); text(8, "WAVEfmt ");
    head.setUint32(16, 16, true); head.setUint16(20, 1, true); head.setUint16(22, 1, true);
    head.setUint32(24, codec.rate, true); head.setUint32(28, 2 * codec.rate, true);
    head.setUint16(32, 2, true); head.setUint16(34, 16, true); text(36, "data"); head.setUint32(40, bytes, true);
    return new Blob([head, ...this.pieces], { type: "audio/wav" });
  }
}

// -- what is shown ---------------------------------------------------------------------------

// One recording: its codes, a list for each codebook, and the audio of both versions.
let take = null;
let facts = {}; // of the chips
let dirty = true; // something has to be drawn
const books = () => Number(document.querySelector("[name=books]:checked").value);
const emptyTake = () => ({ codes: codec.choices.map(() => []), samples: 0, growing: true, original: new Samples(), resynthesis: new Samples() });
const seconds = () => take ? Math.max(take.growing ? SHORTEST_AXIS : 0, take.original.length / codec.rate, 0.02) : SHORTEST_AXIS;

function say(status, error = "") {
  $("status").textContent = status;
  $("error").textContent = error;
  $("error").hidden = !error;
}
const fail = ({ message }) => say("", message[0].toUpperCase() + message.slice(1));
// As in the report: neighbouring codes differ, the same code is the same everywhere.
const hue = (code) => `hsl(${code * 137 % 360} 55% ${45 + code * 7 % 25}%)`;

function chips() {
  const rate = codec.bits_per_second[books() - 1], frames = take ? take.codes[0].length : 0;
  const values = [
    ["", `${(rate / 1000).toFixed(2)} kbit/s`],
    ["16-bit PCM is", `${(16 * codec.rate / rate).toFixed(0)} times as much`],
  ];
  if (frames) {
    values.push(["seconds", (take.original.length / codec.rate).toFixed(1)], ["frames", frames]);
    values.push(["bits", Math.round(frames * rate * codec.hop / codec.rate).toLocaleString("en")]);
  }
  values.push(...Object.entries(facts));
  $("chips").replaceChildren(...values.map(([name, value]) => {
    const chip = document.createElement("span"), bold = document.createElement("b");
    bold.textContent = value;
    chip.append(name ? `${name} ` : "", bold);
    return chip;
  }));
}

// Sizes a canvas to its place; returns what draws on it, and its size in CSS pixels.
function paper(canvas) {
  const { width, height } = canvas.parentElement.getBoundingClientRect(), ratio = devicePixelRatio;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const drawn = canvas.getContext("2d");
  drawn.scale(ratio, ratio);
  return [drawn, width, height];
}

function drawWave(track) {
  const [drawn, width, height] = paper(track.canvas);
  const samples = take && take[track.id];
  if (!samples) return;
  drawn.fillStyle = getComputedStyle(document.body).getPropertyValue("--wave");
  const blocks = seconds() * codec.rate / BLOCK;
  for (let x = 0; x < width; x++) {
    const from = Math.floor(x * blocks / width), to = Math.max(from + 1, Math.floor((x + 1) * blocks / width));
    if (from >= samples.peaks.length) break;
    const half = Math.max(0.5, height / 2 * Math.sqrt(Math.max(...samples.peaks.slice(from, to))));
    drawn.fillRect(x, height / 2 - half, 1, 2 * half);
  }
}

// RVQ-1 takes half of the height; codebooks that are not decoded are pale.
function rowOf(book, height) {
  const others = codec.choices.length - 1, first = others ? height / 2 : height;
  return book ? [first + (height - first) * (book - 1) / others, (height - first) / others] : [0, first];
}
function drawCodes() {
  const [drawn, width, height] = paper($("codes"));
  if (!take) return;
  const perFrame = width * codec.hop / (seconds() * codec.rate), chosen = books();
  // Whole pixels, so that no gaps shine through; frames that have none are passed over.
  const place = (frame) => Math.min(width, Math.round(frame * perFrame * devicePixelRatio) / devicePixelRatio);
  take.codes.forEach((codes, book) => {
    const [top, size] = rowOf(book, height);
    drawn.globalAlpha = book < chosen ? 1 : 0.25;
    codes.forEach((code, frame) => {
      const from = place(frame), to = place(frame + 1);
      if (from === to) return;
      drawn.fillStyle = hue(code);
      drawn.fillRect(from, top, to - from, size - 0.5);
    });
  });
}

function drawAxis() {
  const all = seconds(), step = [0.5, 1, 2, 5, 10, 20, 30, 60].find((s) => all / s <= 8) ?? 60;
  const ticks = Array.from({ length: Math.floor(all / step) + 1 }, (_, i) => i * step).filter((t) => t / all < 0.97);
  $("axis").replaceChildren(...ticks.map((tick) => {
    const mark = document.createElement("span");
    mark.textContent = `${tick} s`;
    mark.style.left = `${100 * tick / all}%`;
    return mark;
  }));
}

// The ids of RVQ-1 as numbers: the last ones while they come, then those around the cursor.
function drawIds() {
  const codes = take ? take.codes[0] : [], perRow = Math.floor($("ids").clientWidth / 56), count = perRow < 10 ? 2 * perRow : perRow;
  const playing = take && !take.growing ? Math.floor(tracks[current].audio.currentTime * codec.rate / codec.hop) : codes.length;
  const first = Math.max(0, Math.min(codes.length, playing + Math.ceil(count / 2)) - count);
  $("ids").replaceChildren(...codes.slice(first, first + count).map((code, i) => {
    const id = document.createElement("span"), swatch = document.createElement("i");
    swatch.style.background = hue(code);
    id.append(swatch, String(code));
    id.classList.toggle("now", first + i === playing);
    return id;
  }));
}

function draw() {
  if (dirty) {
    dirty = false;
    tracks.forEach(drawWave);
    drawCodes();
    drawAxis();
    chips();
    drawIds();
  }
  requestAnimationFrame(draw);
}
const changed = () => { dirty = true; };

$("codes").addEventListener("mousemove", (event) => {
  const box = $("codes").getBoundingClientRect();
  const frame = Math.floor((event.clientX - box.left) / box.width * seconds() * codec.rate / codec.hop);
  const codes = take ? take.codes.map((of) => of[frame]) : [];
  $("codes").title = codes[0] === undefined ? "" : `${(frame * codec.hop / codec.rate).toFixed(2)} s: ${codes.join(" ")}`;
});

// -- the two players -------------------------------------------------------------------------

class Track {
  constructor(id, number) {
    const element = $(id);
    Object.assign(this, { id, element, button: element.querySelector("button"), canvas: element.querySelector("canvas"), cursor: element.querySelector(".cursor"), audio: element.querySelector("audio") });
    this.audio.addEventListener("play", () => { element.classList.add("playing"); this.tick(); });
    this.audio.addEventListener("pause", () => element.classList.remove("playing"));
    this.audio.addEventListener("ended", () => { this.audio.currentTime = 0; this.show(); });
    this.button.addEventListener("click", (event) => {
      event.currentTarget.blur(); // the space key is the page's
      if (current === number) return toggle();
      tracks[current].audio.pause();
      select(number);
      play(this.audio);
    });
    element.querySelector(".picture").addEventListener("click", (event) => {
      if (this.button.disabled) return;
      const box = event.currentTarget.getBoundingClientRect();
      select(number);
      this.audio.currentTime = seconds() * (event.clientX - box.left) / box.width;
      this.show();
    });
  }
  // Other audio at the same place, which plays on if it played.
  load(samples) {
    const time = this.audio.currentTime, plays = !this.audio.paused;
    this.clear();
    this.audio.src = URL.createObjectURL(samples.wav());
    this.audio.currentTime = time;
    this.button.disabled = false;
    if (plays) play(this.audio);
  }
  clear() {
    this.audio.pause();
    if (this.audio.src) URL.revokeObjectURL(this.audio.src);
    this.audio.removeAttribute("src");
    this.button.disabled = true;
  }
  show() {
    this.cursor.style.left = `${100 * this.audio.currentTime / seconds()}%`;
    drawIds();
  }
  tick() {
    this.show();
    if (!this.audio.paused) requestAnimationFrame(() => this.tick());
  }
}
let current = 1;
const tracks = ["original", "resynthesis"].map((id, number) => new Track(id, number));
// A pause that comes before the sound has begun is no error.
const play = (audio) => audio.play().catch((error) => { if (error.name !== "AbortError") throw error; });
function toggle() {
  const { audio, button } = tracks[current];
  if (button.disabled) return;
  if (audio.paused) play(audio); else audio.pause();
}
function select(number) {
  const before = tracks[current].audio, plays = !before.paused;
  tracks[current].element.classList.remove("current");
  tracks[number].element.classList.add("current");
  if (number === current) return;
  before.pause();
  current = number;
  tracks[number].audio.currentTime = before.currentTime;
  tracks[number].show();
  if (plays) play(tracks[number].audio);
}
select(current);

// -- what the server is asked ----------------------------------------------------------------

async function ask(path, body) {
  const answer = await fetch(path, { method: "POST", body }).catch(() => { throw Error(GONE); });
  if (answer.ok) return answer;
  if (!answer.headers.get("content-type")?.includes("json")) throw Error(`The server failed (${answer.status}); it has logged why.`);
  throw Error((await answer.json()).error);
}

async function resynthesize() {
  const asked = take, number = books();
  if (!asked || asked.growing) return;
  const body = JSON.stringify({ codes: asked.codes.slice(0, number), samples: asked.samples });
  const audio = Samples.of(new Int16Array(await (await ask("decode", body)).arrayBuffer()));
  if (take !== asked || books() !== number) return; // the choice has changed meanwhile
  take.resynthesis = audio;
  tracks[1].load(audio);
  changed();
}

async function finish() {
  take.growing = false;
  tracks[0].load(take.original);
  changed();
  await resynthesize();
}

function begin() {
  tracks.forEach((track) => { track.clear(); track.audio.currentTime = 0; track.cursor.style.left = 0; });
  take = emptyTake();
  facts = {};
  changed();
}

async function encode(content, name) {
  if (content.size > codec.max_bytes) throw Error(`${name} is larger than ${codec.max_bytes / 1e6} MB, the most that is taken here.`);
  say(`Encoding ${name} …`);
  const { codes, audio, seconds: spent } = await (await ask("encode", content)).json();
  const bytes = Uint8Array.from(atob(audio), (c) => c.charCodeAt(0));
  begin();
  take.codes = codes;
  take.original.push(new Int16Array(bytes.buffer));
  take.samples = take.original.length;
  facts = { "encoded in": `${spent.toFixed(2)} s` };
  await finish();
  say(`${name}: ready.`);
}

// -- recording -------------------------------------------------------------------------------

let recording = null;

class Recording {
  async start() {
    if (!navigator.mediaDevices) throw Error("This browser gives no microphone to this page; open it at 127.0.0.1, or open a file.");
    try {
      this.microphone = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
    } catch (error) {
      throw Error(`There is no microphone for this page (${error.message}); allow it, or open a file.`);
    }
    this.context = new AudioContext({ sampleRate: codec.rate, latencyHint: "interactive" });
    await this.context.audioWorklet.addModule("recorder.js");
    this.node = new AudioWorkletNode(this.context, "recorder", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    this.node.port.onmessage = ({ data }) => data ? this.heard(data) : this.said();
    try {
      this.source = this.context.createMediaStreamSource(this.microphone);
      this.source.connect(this.node);
    } catch (error) {
      throw Error(`This browser cannot bring a microphone to ${codec.rate} Hz (${error.message}); use another one, or open a file.`);
    }
  }
  heard(piece) {
    const room = codec.max_seconds * codec.rate - take.original.length;
    take.original.push(piece.subarray(0, room));
    changed();
    if (piece.length >= room && !this.stopping) stop(`A recording ends after ${codec.max_seconds} s.`);
    return piece.subarray(0, room);
  }
  // Resolves when the last samples have come.
  stop() {
    this.stopping = true;
    const stopped = new Promise((resolve) => { this.said = resolve; });
    this.node.port.postMessage(null);
    return stopped.then(() => this.close());
  }
  close() {
    this.microphone?.getTracks().forEach((track) => track.stop());
    return this.context?.close();
  }
}

// Encoded whole, when it has ended.
class WholeRecording extends Recording {
  async result() { await encode(take.original.wav(), "The recording"); }
}

// Encoded, and resynthesized, as it comes.
class LiveRecording extends Recording {
  async start() {
    this.socket = new WebSocket(`ws://${location.host}/stream`);
    this.socket.binaryType = "arraybuffer";
    this.ended = new Promise((resolve, reject) => {
      this.socket.onmessage = ({ data }) => data instanceof ArrayBuffer ? this.sounds(new Int16Array(data)) : this.told(JSON.parse(data), resolve, reject);
      this.socket.onclose = () => reject(Error(GONE));
    });
    this.ended.catch((error) => { if (recording === this) interrupt(error); });
    await new Promise((resolve) => { this.socket.onopen = resolve; this.ended.catch(resolve); });
    if (this.socket.readyState !== WebSocket.OPEN) throw Error(GONE);
    this.choose();
    await super.start();
    this.loudness = this.context.createGain();
    this.loudness.connect(this.context.destination);
    this.listen();
    this.free = 0; // when what is played has ended
  }
  choose() { this.socket.send(JSON.stringify({ codebooks: books() })); }
  listen() { this.loudness.gain.value = $("live").checked ? 1 : 0; }
  heard(piece) {
    const kept = super.heard(piece);
    if (kept.length && this.socket.readyState === WebSocket.OPEN) this.socket.send(kept);
  }
  told(news, resolve, reject) {
    if (news.error) reject(Error(news.error));
    if (news.end) resolve(news);
    news.codes?.forEach((codes, book) => take.codes[book].push(...codes));
    changed();
  }
  sounds(samples) {
    take.resynthesis.push(samples);
    const coded = take.codes[0].length * codec.hop, behind = take.original.length - coded;
    this.began ??= { time: performance.now(), frames: take.codes[0].length };
    const spent = (performance.now() - this.began.time) / 1000;
    if (!this.stopping && spent > 0.5) {
      facts = { "arriving": `${((take.codes[0].length - this.began.frames) / spent).toFixed(1)} frames/s`, "behind the voice": `${Math.max(0, 1000 * behind / codec.rate).toFixed(0)} ms` };
    }
    if (this.context?.state !== "running") return;
    const now = this.context.currentTime;
    if (this.free - now > MOST_WAITING) return;
    const buffer = this.context.createBuffer(1, samples.length, codec.rate), channel = buffer.getChannelData(0);
    samples.forEach((sample, i) => { channel[i] = sample / 32768; });
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.loudness);
    const at = Math.max(this.free, now + 0.02);
    source.start(at);
    this.free = at + buffer.duration;
  }
  async result() {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ end: true }));
    const { samples, note } = await this.ended;
    take.samples = samples;
    await finish();
    say(note || "The recording is ready.");
  }
  close() {
    this.socket.onclose = null;
    return super.close();
  }
}

function show(state) {
  const on = state === "on";
  $("record").textContent = on ? "Stop" : "Record";
  $("record").classList.toggle("on", on);
  $("record").disabled = state === "busy";
  $("file").disabled = state !== "off";
}
async function record() {
  show("busy");
  say("Waiting for the microphone …");
  begin();
  recording = codec.streams ? new LiveRecording() : new WholeRecording();
  try {
    await recording.start();
    say("Recording …");
    show("on");
  } catch (error) {
    interrupt(error);
  }
}
async function stop(why = "") {
  if (recording?.stopping) return;
  const stopped = recording;
  show("busy");
  try {
    await stopped.stop();
    if (take.original.length) await stopped.result();
    else throw Error("Nothing was recorded.");
    if (why) say(why);
  } catch (error) {
    fail(error);
  }
  stopped.socket?.close();
  recording = null;
  show("off");
}
function interrupt(error) {
  fail(error);
  recording.close();
  recording.socket?.close();
  recording = null;
  show("off");
}

// -- what a person does ----------------------------------------------------------------------

$("record").addEventListener("click", (event) => {
  event.currentTarget.blur();
  if (recording) stop(); else record();
});
async function open(file) {
  show("busy");
  try {
    await encode(file, file.name);
  } catch (error) {
    fail(error);
  }
  show("off");
}
$("file").addEventListener("change", () => {
  const [file] = $("file").files;
  $("file").value = ""; // the same one can be opened again
  if (file) open(file);
});
document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("over"); });
document.addEventListener("dragleave", () => document.body.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file && !$("file").disabled) open(file);
});
$("live")?.addEventListener("change", () => { if (recording?.loudness) recording.listen(); });
$("books").addEventListener("change", () => {
  changed();
  if (recording instanceof LiveRecording && !recording.stopping) recording.choose();
  else resynthesize().catch(fail);
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("#file, #live, button")) return;
  const choice = document.querySelector(`[name=books][value="${CSS.escape(event.key)}"]`);
  if (event.key === " ") toggle();
  else if (event.key === "r" && !$("record").disabled) $("record").click();
  else if (choice) choice.click();
  else if (event.key === "ArrowUp" || event.key === "ArrowDown") select(1 - current);
  else return;
  event.preventDefault();
});
addEventListener("resize", changed);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
draw();
