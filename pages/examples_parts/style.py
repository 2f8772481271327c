"""How the cards of the Examples page look in the browser: texts from elsewhere only become textContent."""

CSS = """
:host, .cards { color: var(--st-text-color); font: inherit; line-height: 1.45; }
.cards { display: grid; gap: 1rem; scroll-margin-top: 5rem; }
article { border: 1px solid var(--st-border-color); border-radius: 0.5rem; padding: 0.9rem 1rem 1rem;
  min-width: 0; display: grid; gap: 0.75rem; }
header { display: flex; flex-wrap: wrap; gap: 0.25rem 0.75rem; align-items: baseline; }
h2 { font: inherit; font-weight: 600; margin: 0; overflow-wrap: anywhere; unicode-bidi: isolate; }
.quiet, dt, h3 { font: inherit; color: var(--st-gray-text-color, var(--st-text-color)); font-size: 0.875rem;
  margin: 0; overflow-wrap: anywhere; unicode-bidi: isolate; }
button { font: inherit; font-size: 0.875rem; margin-inline-start: auto; color: var(--st-link-color);
  background: none; border: 0; border-radius: 0.25rem; padding: 0.2rem 0.3rem; cursor: pointer; }
button:hover { text-decoration: underline; }
button:focus-visible, .text:focus-visible { outline: 2px solid var(--st-primary-color); }
.texts, .answers { display: grid; gap: 0.75rem 1.25rem; }
.texts { grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
.answers { grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr)); }
section { min-width: 0; display: flex; flex-direction: column; gap: 0.25rem; }
.answers section { border-top: 0.2rem solid; padding-top: 0.4rem; }
.answers h3 { color: inherit; font-size: 1rem; font-weight: 600; }
.text { max-height: 16rem; overflow-y: auto; }
.answers .text, .answers p.quiet { flex: 1; }
dl { display: grid; grid-template-columns: 1.35fr 1fr 1fr; gap: 0.3rem 0.75rem; margin: 0.35rem 0 0;
  font-variant-numeric: tabular-nums; }
dt { font-size: 0.8rem; }
dd { margin: 0; font-size: 0.9rem; white-space: nowrap; }
.stopped { font-size: 0.875rem; margin: 0; }
.stopped::before { content: "■ "; color: #d55e00; }
"""
JS = """
function element(tag, text, kind) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}
function section(title, ...inside) {
  const made = element("section");
  made.append(element("h3", title), ...inside);
  return made;
}
function answer(given, removed) {
  const figures = element("dl");
  for (const [label, value] of given.figures) {
    const pair = element("div");
    pair.append(element("dt", label), element("dd", value));
    figures.append(pair);
  }
  const notes = given.stopped ? [element("p", given.stopped, "stopped")] : [];
  const text = given.parts.length ? marked(given.parts, removed) : element("p", given.empty, "quiet");
  const made = section(given.name, text);
  made.append(...notes, figures);
  made.style.borderTopColor = given.color;
  return made;
}
function card(given, data, choose) {
  const made = element("article"), head = element("header"), texts = element("div", undefined, "texts");
  const button = element("button", data.link);
  button.type = "button";
  button.onclick = () => choose(given.id);
  head.append(element("h2", given.name), element("span", given.domain, "quiet"));
  if (data.link) head.append(button);
  texts.append(...given.texts.map(([title, parts]) => section(title, marked(parts))));
  const answers = element("div", undefined, "answers");
  answers.append(...given.answers.map((one) => answer(one, data.removed)));
  made.append(head, texts, answers);
  return made;
}
export default function ({ parentElement, data, setTriggerValue }) {
  const place = parentElement.querySelector(".cards");
  const moved = place.dataset.page !== undefined && place.dataset.page !== data.page;
  place.dataset.page = data.page;
  place.replaceChildren(...data.cards.map((one) => card(one, data, (id) => setTriggerValue("chosen", id))));
  for (const text of place.querySelectorAll(".text"))
    if (text.scrollHeight > text.clientHeight) text.tabIndex = 0;
  if (moved && place.getBoundingClientRect().top < 0) place.scrollIntoView();
}
"""
