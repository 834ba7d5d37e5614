"use strict";
// Two players at one place, so that versions can be compared.
class Track {
  constructor(id, number) {
    const element = $(id);
    Object.assign(this, { id, element });
    for (const part of ["button", "canvas", "audio"]) this[part] = element.querySelector(part);
    this.cursor = element.querySelector(".cursor");
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
    this.cursor.style.left = `${100 * time / seconds()}%`;
    if (plays) play(this.audio);
  }
  clear() {
    this.audio.pause();
    if (this.audio.src) URL.revokeObjectURL(this.audio.src);
    this.audio.removeAttribute("src");
    this.audio.load(); // forgets the place, too
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
