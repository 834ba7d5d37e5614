"use strict";
// Collects what the microphone gives in pieces of 40 ms, as 16-bit samples.
class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Int16Array(Math.round(sampleRate / 25));
    this.filled = 0;
    this.recording = true;
    this.port.onmessage = () => {
      this.send();
      this.recording = false;
      this.port.postMessage(null);
    };
  }
  send() {
    if (this.filled) this.port.postMessage(this.piece.slice(0, this.filled));
    this.filled = 0;
  }
  process([[samples]]) {
    if (!this.recording) return false; // while it is connected, it is still called
    for (const sample of samples ?? []) {
      this.piece[this.filled++] = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
      if (this.filled === this.piece.length) this.send();
    }
    return true;
  }
}
registerProcessor("recorder", Recorder);
