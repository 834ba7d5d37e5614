"use strict";
// The microphone: encoded when it has ended, or, with a causal codec, as it comes.
// As it is: calls improve speech for the ear, and codecs are not trained on that.
const RAW = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
const MOST_WAITING = 0.5; // seconds of resynthesis that wait to be played; more is passed over

let recording = null;

class Recording {
  async start() {
    try {
      this.microphone = await navigator.mediaDevices.getUserMedia({ audio: RAW });
    } catch (error) {
      throw Error(`There is no microphone for this page (${error.message}); allow it, or open a file.`);
    }
    this.context = new AudioContext({ sampleRate: codec.rate, latencyHint: "interactive" });
    this.context.resume(); // where it does not run by itself
    await this.context.audioWorklet.addModule("recorder.js");
    const mono = { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" };
    this.node = new AudioWorkletNode(this.context, "recorder", mono);
    this.node.port.onmessage = ({ data }) => data ? this.heard(data) : this.said();
    try {
      this.source = this.context.createMediaStreamSource(this.microphone);
      this.source.connect(this.node);
    } catch (error) {
      const failed = `This browser cannot bring a microphone to ${codec.rate} Hz (${error.message})`;
      throw Error(`${failed}; use another one, or open a file.`);
    }
  }
  heard(piece) {
    const room = codec.max_seconds * codec.rate - take.original.length;
    take.original.push(piece.subarray(0, room));
    changed();
    if (piece.length >= room && !this.stopping) endRecording(`A recording ends after ${codec.max_seconds} s.`);
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
    const { microphone, context } = this;
    this.microphone = this.context = null;
    microphone?.getTracks().forEach((track) => track.stop());
    return context?.close();
  }
}

// Encoded whole, when it has ended.
class WholeRecording extends Recording {
  async result() { await encode(take.original.wav(), "The recording"); }
}

// Encoded, and resynthesized, as it comes.
class LiveRecording extends Recording {
  async start() {
    this.socket = new WebSocket(`ws://${location.host}/stream?codec=${codec.fingerprint}`);
    this.socket.binaryType = "arraybuffer";
    this.ended = new Promise((resolve, reject) => {
      this.socket.onmessage = ({ data }) => {
        if (data instanceof ArrayBuffer) this.sounds(new Int16Array(data));
        else this.told(JSON.parse(data), resolve, reject);
      };
      this.socket.onclose = () => reject(Error(GONE));
    });
    this.ended.catch((error) => { if (recording === this && !this.stopping) interrupt(error); });
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
      const rate = (take.codes[0].length - this.began.frames) / spent;
      facts = {
        arriving: `${rate.toFixed(1)} frames/s`,
        "behind the voice": `${Math.max(0, 1000 * behind / codec.rate).toFixed(0)} ms`,
      };
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
}

function showState(state) { // off, busy, on
  const on = state === "on";
  $("record").textContent = on ? "Stop" : "Record";
  $("record").classList.toggle("on", on);
  $("record").disabled = state === "busy";
  $("file").disabled = state !== "off";
}
async function startRecording() {
  showState("busy");
  say("Waiting for the microphone …");
  begin();
  const started = recording = codec.streams ? new LiveRecording() : new WholeRecording();
  try {
    await started.start();
  } catch (error) {
    if (recording === started) interrupt(error);
  }
  if (recording !== started) return started.close(); // interrupted before the microphone was there
  say("Recording …");
  showState("on");
}
async function endRecording(why = "") {
  const stopped = recording;
  showState("busy");
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
  showState("off");
}
function interrupt(error) {
  fail(error);
  recording.close();
  recording.socket?.close();
  recording = null;
  showState("off");
}
