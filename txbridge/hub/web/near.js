// Who wants to know whether an element is near to being seen, so that nothing is asked for that nobody looks at.

const waiting = new WeakMap();
const watcher = new IntersectionObserver((entries) => entries.forEach((entry) => waiting.get(entry.target)?.(entry.isIntersecting)), { rootMargin: "200px" });

export function watch(element, seen) {
  waiting.set(element, seen);
  watcher.observe(element);
}

export function unwatch(element) {
  watcher.unobserve(element);
}
