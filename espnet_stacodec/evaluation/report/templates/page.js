"use strict";
// One player for the whole page: changing the version keeps the place, so that versions can be compared.
const cards = [...document.querySelectorAll(".card")].map((card) => [...card.querySelectorAll(".track")]);
let row = 0, column = 0;
const current = () => cards[row][column];
const audio = (track) => track.querySelector("audio");
// A pause that comes before the sound has begun is no error.
const play = (sound) => sound.play().catch((error) => { if (error.name !== "AbortError") throw error; });

function show(track) {
  const sound = audio(track);
  const share = sound.duration ? sound.currentTime / sound.duration : 0;
  track.querySelector(".cursor").style.left = `${100 * share}%`;
}
function select(newRow, newColumn) {
  const before = current(), sound = audio(before), time = sound.currentTime;
  const sameCard = newRow === row, plays = !sound.paused;
  sound.pause();
  before.classList.remove("current");
  row = newRow;
  column = Math.min(newColumn, cards[row].length - 1);
  const now = current();
  now.classList.add("current");
  if (now === before) return;
  audio(now).currentTime = sameCard ? time : 0;
  show(now);
  if (plays) play(audio(now));
  now.scrollIntoView({ block: "nearest" });
}
function toggle() {
  const sound = audio(current());
  if (sound.paused) play(sound); else sound.pause();
}
function tick() {
  show(current());
  if (!audio(current()).paused) requestAnimationFrame(tick);
}
cards.forEach((tracks, i) => tracks.forEach((track, j) => {
  const sound = audio(track);
  sound.addEventListener("play", () => { track.classList.add("playing"); tick(); });
  sound.addEventListener("pause", () => track.classList.remove("playing"));
  sound.addEventListener("ended", () => { sound.currentTime = 0; show(track); });
  track.querySelector("button").addEventListener("click", (event) => {
    event.currentTarget.blur(); // the space key is the page's
    if (row === i && column === j) return toggle();
    audio(current()).pause();
    select(i, j);
    play(audio(current()));
  });
  track.querySelector(".picture").addEventListener("click", (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    select(i, j);
    sound.currentTime = sound.duration * (event.clientX - box.left) / box.width;
    show(track);
  });
}));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("summary, a, .scroll:focus")) return;
  if (event.key === " " && event.target.closest("button")) return; // it presses the button
  const steps = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
  if (event.key === " ") toggle();
  else if (event.key in steps) {
    const [down, across] = steps[event.key];
    const nextRow = (row + down + cards.length) % cards.length;
    const count = cards[nextRow].length;
    select(nextRow, down ? column : (column + across + count) % count);
    if (down) current().closest(".card").scrollIntoView({ block: "nearest" });
  } else return;
  event.preventDefault();
});
document.querySelectorAll("a[data-card]").forEach((link) => link.addEventListener("click", () => {
  select(Number(link.dataset.card), 0);
}));
if (cards.length) current().classList.add("current");
