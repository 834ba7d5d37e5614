"use strict";
// What a person does.
$("record").addEventListener("click", (event) => {
  event.currentTarget.blur();
  if (recording) endRecording(); else startRecording();
});
async function openFile(file) {
  showState("busy");
  try {
    await encode(file, file.name);
  } catch (error) {
    fail(error);
  }
  showState("off");
}
$("file").addEventListener("change", () => {
  const [file] = $("file").files;
  $("file").value = ""; // the same one can be opened again
  if (file) openFile(file);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
document.addEventListener("dragleave", () => document.body.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file && !$("file").disabled) openFile(file);
});
$("live")?.addEventListener("change", () => { if (recording?.loudness) recording.listen(); });
$("books").addEventListener("change", () => {
  changed();
  if (recording instanceof LiveRecording && !recording.stopping) recording.choose();
  else resynthesize().catch(fail);
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("#file, #live, button")) return;
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
