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
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (kind) node.className = kind;
  return node;
}
function section(title, ...inside) {
  const node = element("section");
  node.append(element("h3", title), ...inside);
  return node;
}
function answer(record, removed) {
  const figures = element("dl");
  for (const [label, value] of record.figures) {
    const pair = element("div");
    pair.append(element("dt", label), element("dd", value));
    figures.append(pair);
  }
  const notes = record.stopped ? [element("p", record.stopped, "stopped")] : [];
  const text = record.parts.length ? marked(record.parts, removed) : element("p", record.empty, "quiet");
  const node = section(record.name, text);
  node.append(...notes, figures);
  node.style.borderTopColor = record.color;
  return node;
}
function card(example, data, choose) {
  const node = element("article"), head = element("header"), texts = element("div", undefined, "texts");
  const button = element("button", data.link);
  button.type = "button";
  button.onclick = () => choose(example.id);
  head.append(element("h2", example.name), element("span", example.domain, "quiet"));
  if (data.link) head.append(button);
  texts.append(...example.texts.map(([title, parts]) => section(title, marked(parts))));
  const answers = element("div", undefined, "answers");
  answers.append(...example.answers.map((record) => answer(record, data.removed)));
  node.append(head, texts, answers);
  return node;
}
export default function ({ parentElement, data, setTriggerValue }) {
  const place = parentElement.querySelector(".cards");
  const moved = place.dataset.page !== undefined && place.dataset.page !== data.page;
  place.dataset.page = data.page;
  const choose = (id) => setTriggerValue("chosen", id);
  place.replaceChildren(...data.cards.map((example) => card(example, data, choose)));
  for (const text of place.querySelectorAll(".text"))
    if (text.scrollHeight > text.clientHeight) text.tabIndex = 0;
  if (moved && place.getBoundingClientRect().top < 0) place.scrollIntoView();
}
"""
