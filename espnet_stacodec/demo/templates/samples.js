"use strict";
// What the page knows of the codec, and audio in it.
const codec = JSON.parse(document.body.dataset.codec);
const $ = (id) => document.getElementById(id);
const BLOCK = Math.round(codec.rate / 200); // samples of one value of a drawn wave, 5 ms

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
