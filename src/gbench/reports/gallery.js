"use strict";
// Sorting and stepping through the pairs. Without it the page stands as it was written: worst MAE first.
const list = document.getElementById("pairs");
const order = document.getElementById("order");
const position = document.getElementById("position");
const bar = document.querySelector(".bar"); // stays in view: what is stepped to comes below it
let current = -1; // place of the pair that was stepped to, in the order shown

function sort() {
  const [key, direction] = order.value.split(" ");
  const value = (pair) => Number(pair.dataset[key]);
  const place = (pair) => Number(pair.dataset.place);
  const pairs = [...list.children].sort((a, b) => direction * (value(a) - value(b)) || place(a) - place(b));
  list.append(...pairs);
  const how = order.selectedOptions[0].textContent;
  pairs.forEach((pair, number) => {
    pair.removeAttribute("aria-current");
    pair.querySelector(".rank").textContent = `${number + 1} of ${pairs.length}, ${how}`;
  });
  current = -1;
  position.textContent = `${pairs.length} images, ${how}`;
}

function go(to) {
  const pairs = list.children;
  const next = Math.min(Math.max(to, 0), pairs.length - 1);
  pairs[current]?.removeAttribute("aria-current");
  current = next;
  const pair = pairs[current];
  pair.setAttribute("aria-current", "true");
  pair.focus({ preventScroll: true });
  position.textContent = `${current + 1} of ${pairs.length}: ${pair.dataset.name}`;
  list.style.setProperty("--bar", `${bar.offsetHeight}px`);
  pair.scrollIntoView({ block: "start" });
}

const KEYS = {
  ArrowRight: () => go(current + 1),
  j: () => go(current + 1),
  ArrowLeft: () => go(current - 1),
  k: () => go(current - 1),
  Home: () => go(0),
  End: () => go(list.children.length - 1),
};

order.addEventListener("change", sort);
document.getElementById("previous").addEventListener("click", KEYS.k);
document.getElementById("next").addEventListener("click", KEYS.j);
document.addEventListener("keydown", (event) => {
  const asked = event.ctrlKey || event.metaKey || event.altKey || event.target === order ? null : KEYS[event.key];
  if (!asked) return;
  event.preventDefault();
  asked();
});
bar.hidden = false;
sort(); // the browser may have kept another choice from before
