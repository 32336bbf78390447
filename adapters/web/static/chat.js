// The chat page works without this file, through plain forms. With it: messages arrive by themselves,
// forms are sent without leaving the page, Enter sends, seconds count on.
"use strict";

const $ = (id) => document.getElementById(id);
const main = $("main"), thread = $("thread"), composer = $("composer"), dialog = $("dialog");
const announce = (text) => { $("announce").textContent = text; };
const element = (html) => {
  const template = document.createElement("template");
  template.innerHTML = html; // made by our own server, which escapes every text in it
  return template.content.firstElementChild;
};

// ── what arrives ────────────────────────────────────────────────────────────────────────────

function place(html) {
  const fresh = element(html), old = $(fresh.id), still = atRest(), follow = still || atEnd();
  if (old) {
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    for (const open of old.querySelectorAll("details[data-key]")) {
      const same = [...fresh.querySelectorAll("details[data-key]")].find((d) => d.dataset.key === open.dataset.key);
      if (same) same.open = open.open;
    }
    if (fresh.dataset.says && fresh.dataset.says !== old.dataset.says) announce(`Quartet: ${fresh.dataset.says}`);
    fresh.classList.add("seen");
    const looked = [...old.querySelectorAll(".drawing")].map((one) => ({
      at: [one.scrollLeft, one.scrollTop], step: stepOf(one)?.textContent, read: one === focused,
    }));
    old.replaceWith(fresh);
    [...fresh.querySelectorAll(".drawing")].forEach((one, n) => {
      const before = looked[n];
      // Whoever looks around in it is left where they are until the work moves on.
      if (before && (before.read || before.step === stepOf(one)?.textContent)) one.scrollTo(...before.at);
      else toStep(one);
      if (before?.read) one.focus({ preventScroll: true });
    });
    if (focused && !focused.matches(".drawing")) {
      const same = focused.value && [...fresh.querySelectorAll("button")].find((b) => b.value === focused.value);
      (same || fresh.querySelector("h2"))?.focus({ preventScroll: true });
    }
  } else {
    const later = [...thread.children].find((one) => +one.dataset.position > +fresh.dataset.position);
    thread.insertBefore(fresh, later || null);
    for (const one of fresh.querySelectorAll(".drawing")) toStep(one);
    if (fresh.dataset.says) announce(`Quartet: ${fresh.dataset.says}`);
  }
  count();
  // Not left to the browser, which moves it later: by then the next card may have asked whether it rests.
  if (old && still) scroller().scrollTop += topOf($(rest.of) || main) - rest.top;
  if (old ? follow && !still : fresh.classList.contains("turn")) toEnd();
  else if (!old && follow) show(fresh);
}

function notice(html) {
  const fresh = element(html), old = $(fresh.id), follow = atEnd() && !atRest();
  if (old) old.replaceWith(fresh); else $("notices").append(fresh);
  if (follow) toEnd();
  pass(fresh);
}

// That something was taken is told once, for a moment; the server forgets it as soon as it is on the screen.
function pass(shown) {
  if (!("passing" in shown.dataset)) return;
  send(shown, shown.querySelector("button")).catch(() => {}); // the next page shows it once more
  const leave = () => {
    if (shown.matches(":hover, :focus-within")) return setTimeout(leave, 2000);
    shown.classList.add("leaving");
    setTimeout(() => shown.remove(), 500);
  };
  setTimeout(leave, 8000);
}

// A large picture is scrolled to the step at work; to its first one where none is.
const AT_WORK = ["asking", "working", "retrying", "failed"].map((state) => `.node.${state}`);
function stepOf(drawing) {
  for (const kind of [...AT_WORK, ".node"]) {
    const node = drawing.querySelector(kind);
    if (node) return node.querySelector("title") || node;
  }
  return null;
}
function toStep(drawing) {
  const node = stepOf(drawing)?.closest(".node");
  if (!node) return;
  const box = drawing.getBoundingClientRect(), place = node.getBoundingClientRect();
  drawing.scrollLeft += place.left + place.width / 2 - box.left - box.width / 2;
  drawing.scrollTop += place.top + place.height / 2 - box.top - box.height / 2;
}

// On a wide screen the conversation scrolls, on a phone the whole page does.
const scroller = () => (getComputedStyle(main).overflowY === "visible" ? document.scrollingElement : main);
const atEnd = () => { const s = scroller(); return s.scrollHeight - s.scrollTop - s.clientHeight < 160; };
const toEnd = () => { const s = scroller(); s.scrollTop = s.scrollHeight; };

// What is to be read begins at its top, and rests there until the reader scrolls.
let rest = { top: 0, of: null };
const topOf = (card) => card.offsetTop - scroller().scrollTop; // an arriving card still moves: its box would lie
const atRest = () => !!rest.of && Math.abs(topOf($(rest.of) || main) - rest.top) < 2;
function show(card) {
  if (!card.matches(".answer, .approval, .error")) return toEnd();
  card.scrollIntoView({ block: "start", behavior: "instant" });
  rest = { top: topOf(card), of: card.id };
}

function listen() {
  let [path, seen] = main.dataset.events.split("?after=");
  let events; // the browser resumes it with Last-Event-ID
  const open = () => {
    events = new EventSource(`${path}?after=${seen}`);
    on("message", place);
    on("notice", notice);
    on("listing", list);
    on("busy", (text) => { $("busy").textContent = text; $("busy").hidden = !text; });
    events.onopen = () => away(false);
    events.onerror = () => {
      away(true);
      if (events.readyState === EventSource.CLOSED) setTimeout(open, 5000); // it gave up by itself
    };
  };
  const on = (kind, show) => events.addEventListener(kind, (event) => {
    seen = event.lastEventId || seen;
    show(event.data);
  });
  open();
  document.addEventListener("visibilitychange", () => { // a browser has few connections for one server
    events.close();
    if (!document.hidden) open();
  });
}

function away(is) {
  $("away").hidden = !is;
  $("away").textContent = is ? "The server does not answer. Reconnecting…" : "";
  if (!is && lost) complain("");
}

function list(html) {
  const focused = document.activeElement?.closest("#listing a")?.getAttribute("href");
  $("listing").innerHTML = html;
  if (focused) $("listing").querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
}

// ── seconds that count on ───────────────────────────────────────────────────────────────────

const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

function count() {
  for (const time of document.querySelectorAll("time:not([title])")) {
    time.title = time.textContent; // as the server wrote it, in UTC
    time.textContent = ("day" in time.dataset ? day : clock).format(Date.parse(time.dateTime));
  }
  for (const place of document.querySelectorAll("[data-since]")) {
    const seconds = Math.max(0, Math.round((Date.now() - Date.parse(place.dataset.since)) / 1000));
    place.textContent = seconds < 60 ? `${seconds} s`
      : `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s`;
  }
}

// ── what is sent ────────────────────────────────────────────────────────────────────────────

class Lost extends Error {} // what was sent did not arrive; in our words, browsers have their own

async function send(form, button) {
  const body = new FormData(form, button);
  const response = await fetch(form.action, {
    method: "POST",
    headers: { accept: "application/json" },
    body: form.enctype === "multipart/form-data" ? body : new URLSearchParams(body),
  }).catch(() => { throw new Lost("The server does not answer."); });
  if (response.status === 401) location.reload(); // sign in again
  if (!response.headers.get("content-type")?.startsWith("application/json"))
    throw new Lost(`The server answered ${response.status}.`);
  return response.json().catch(() => { throw new Lost("The server's answer broke off."); });
}

function wrongWith(form) {
  const files = [...form.elements.files.files], most = form.dataset;
  const text = form.elements.text.value;
  if (!text.trim() && !files.length) return "Write something first, or attach a file.";
  if (text.length > +most.mostCharacters)
    return `Too long: at most ${(+most.mostCharacters).toLocaleString("en")} characters. Attach it as a file instead.`;
  if (files.length > +most.mostFiles) return `Too many files: at most ${most.mostFiles} with one message.`;
  const large = files.find((file) => file.size > +most.fileBytes);
  return large ? `${large.name} is too large: at most ${Math.floor(most.fileBytes / 1e6)} MB for one file.` : "";
}

let lost = false; // whether the complaint is that something did not arrive
function complain(text) {
  const inDialog = dialog.open && dialog.querySelector(".sent-wrong");
  const place = inDialog || $("composer-wrong");
  if (lost) $("composer-wrong").hidden = true; // it may stand outside of the dialog
  lost = false;
  place.textContent = text;
  place.hidden = !text;
}

// A page without a conversation hears nothing from the server by itself: it asks.
function whenBack() {
  setTimeout(async () => {
    if (!lost) return;
    const back = await fetch(document.querySelector("link[rel=icon]").href, { cache: "no-store" }).catch(() => null);
    if (!lost) return;
    if (back?.ok) complain(""); else whenBack();
  }, 3000);
}

async function sendMessage(form) {
  const wrong = wrongWith(form);
  complain(wrong);
  if (wrong) return form.elements.text.focus();
  const earlier = [...$("notices").children]; // what comes meanwhile is about this message
  const answer = await send(form);
  complain(answer.wrong || "");
  if (answer.go && !thread) return location.assign(answer.go);
  if (!answer.wrong) {
    form.elements.text.value = "";
    form.elements.files.value = "";
    for (const one of earlier) one.remove();
  }
  form.elements.nonce.value = answer.nonce;
  form.elements.text.focus();
}

function showForm(html) {
  dialog.replaceChildren(element(html));
  if (!dialog.open) dialog.showModal();
  (dialog.querySelector("[aria-invalid]") || dialog.querySelector("textarea, select, input:not([type=hidden])"))?.focus();
}

document.addEventListener("submit", async (event) => {
  const form = event.target, button = event.submitter;
  const ours = form === composer || ["click", "form", "dismiss"].some((kind) => kind in form.dataset);
  if (!ours) return;
  event.preventDefault();
  if (form.dataset.sending) return;
  form.dataset.sending = "yes";
  try {
    if (form === composer) await sendMessage(form);
    else {
      const answer = await send(form, button);
      if (lost) complain("");
      if (answer.wrong) complain(answer.wrong);
      else if (answer.form) showForm(answer.form);
      else if ("form" in form.dataset) form.closest("dialog") ? dialog.close() : location.assign(answer.go);
      if ("dismiss" in form.dataset) { form.remove(); composer.elements.text.focus(); }
    }
  } catch (error) {
    if (!(error instanceof Lost)) throw error;
    complain(`That did not arrive. ${error.message} Try again in a moment.`);
    lost = true;
    if (!thread) whenBack();
  } finally {
    delete form.dataset.sending;
  }
});

document.addEventListener("click", (event) => {
  if (event.target.closest("dialog [data-cancel]")) {
    event.preventDefault();
    dialog.close();
  }
});

if (composer) {
  composer.elements.text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    if (matchMedia("(pointer: coarse)").matches) return; // on a phone Enter breaks the line
    event.preventDefault();
    composer.requestSubmit();
  });
  if (matchMedia("(max-width: 50rem)").matches) document.querySelector(".others").open = false;
  if (thread) {
    setInterval(count, 1000);
    count();
    for (const one of document.querySelectorAll(".drawing")) toStep(one);
    for (const one of $("notices").children) pass(one);
    if (!location.hash && thread.lastElementChild) show(thread.lastElementChild);
    listen();
  }
}
