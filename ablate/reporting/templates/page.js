const made = (tag, text, ...classes) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  element.classList.add(...classes);
  return element;
};
const button = (text, act, ...classes) => {
  const element = made("button", text, ...classes);
  element.type = "button";
  element.addEventListener("click", act);
  return element;
};

// The section that is being read is marked in the list of sections.
const places = new Map(
  [...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]),
);
const seen = new Set();
const watcher = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) seen.add(target.id);
      else seen.delete(target.id);
    }
    const current = [...places.keys()].find((name) => seen.has(name));
    for (const [name, link] of places) {
      if (name === current) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  },
  { rootMargin: "-15% 0px -70% 0px" },
);
for (const section of document.querySelectorAll("main > section")) watcher.observe(section);

// A sequence of frames is stepped through, one at a time.
for (const box of document.querySelectorAll("details.frames")) {
  const frames = [...box.querySelectorAll("figure")];
  if (frames.length < 2) continue;
  let at = 0;
  const said = made("span");
  const show = (next) => {
    at = Math.min(Math.max(next, 0), frames.length - 1);
    frames.forEach((frame, place) => (frame.hidden = place !== at));
    said.textContent = `frame ${at + 1} of ${frames.length}`;
  };
  said.setAttribute("aria-live", "polite");
  const steps = made("p", undefined, "steps");
  steps.append(button("Back", () => show(at - 1)), button("Next", () => show(at + 1)), said);
  frames[0].before(steps);
  show(0);
}
