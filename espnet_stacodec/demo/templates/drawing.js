"use strict";
// What is shown: waves, codes, numbers, and what is said.
const SHORTEST_AXIS = 5; // seconds, while it grows

// One recording: its codes, a list for each codebook, and the audio of both versions.
let take = null;
let facts = {}; // of the chips
let dirty = true; // something has to be drawn
const books = () => Number(document.querySelector("[name=books]:checked").value);
const emptyTake = () => ({
  codes: codec.choices.map(() => []), samples: 0, growing: true,
  original: new Samples(), resynthesis: new Samples(),
});
function seconds() {
  const shortest = take && !take.growing ? 0.02 : SHORTEST_AXIS;
  return Math.max(shortest, take ? take.original.length / codec.rate : 0);
}

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
  const codes = take ? take.codes[0] : [], perRow = Math.floor($("ids").clientWidth / 56);
  const count = perRow < 10 ? 2 * perRow : perRow; // two rows on a phone
  const now = Math.floor(tracks[current].audio.currentTime * codec.rate / codec.hop);
  const playing = take && !take.growing ? now : codes.length;
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
