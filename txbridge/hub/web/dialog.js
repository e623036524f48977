// Questions that must be answered before anything goes on.

import { attempt, h } from "./dom.js";

// What cannot be undone is asked first, in a dialog that says what will be gone.
export function sure(question, words, verb, work) {
  const cancel = h("button", { type: "button", className: "quiet", autofocus: true, onclick: () => dialog.close() }, "Cancel");
  const act = h("button", { type: "button", className: "danger", onclick: async () => {
    act.disabled = true;
    await attempt(async () => {
      await work();
      dialog.close();
    });
    act.disabled = false;
  } }, verb);
  const dialog = h("dialog", { "aria-labelledby": "question" }, h("h2", { id: "question" }, question), h("p", {}, words), h("div", { className: "row end-row" }, cancel, act));
  open(dialog);
}

// A form in a dialog, which is made from what closes it and the buttons that it ends with.
export function formDialog(title, makeForm) {
  const dialog = h("dialog", { "aria-labelledby": "question" });
  dialog.append(h("h2", { id: "question" }, title), makeForm(() => dialog.close(), h("div", { className: "row end-row" }, h("button", { type: "button", className: "quiet", onclick: () => dialog.close() }, "Cancel"), h("button", {}, "Save"))));
  open(dialog);
}

function open(dialog) {
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
