"use strict";
// What the server is asked. The codes are kept here: another number of codebooks is decoded again,
// never encoded again.
const GONE = "The server does not answer; was `stacodec demo` ended?";

async function ask(path, body) {
  const answer = await fetch(`${path}?codec=${codec.fingerprint}`, { method: "POST", body }).catch(() => { throw Error(GONE); });
  if (answer.ok) return answer;
  const said = answer.headers.get("content-type")?.includes("json");
  throw Error(said ? (await answer.json()).error : `The server failed (${answer.status}); it has logged why.`);
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
  tracks.forEach((track) => track.clear());
  take = emptyTake();
  facts = {};
  changed();
}

async function encode(content, name) {
  const most = codec.max_bytes / 1e6;
  if (content.size > codec.max_bytes) throw Error(`${name} is larger than ${most} MB, the most that is taken here.`);
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
