// Two panels beside each other, on one <canvas>: zoom, pan, hover, select, compare. None of it asks the kernel.
// A place is a pair (x, y) in [0, 1] of a panel; an item's box and outline are in pixels of the image.

const MOUNT = "#20242b", INK = "#e8eaed";  // a dark mount: photographs stand well on it in either theme
const GAP = 12, TITLE = 30, TAG = 18, LEAST_HEIGHT = 140, MOST_ZOOM = 40, PIXELATED = 3, PAUSE = 1000;
const FONT = "12px system-ui, sans-serif", SMALL = "10px system-ui, sans-serif";

export default () => {
  const bitmaps = [null, null], latest = [0, 0], turns = [0, 0, 0], watchers = new Set();  // the third: items
  let outlines = new Map();
  // What "Compare" shows: what was pinned, else the picture before the last change or row of changes.
  let pinned = null, before = null, shown = { bitmap: null, caption: "", since: 0 };

  async function decode(model, panel) {
    const bytes = model.get(panel ? "right" : "left"), turn = ++latest[panel];
    if (!bytes.byteLength) return;
    const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
    if (turn !== latest[panel]) return;  // a newer one has come meanwhile
    bitmaps[panel] = bitmap;
    turns[panel] = turn;
    if (panel) {
      if (performance.now() - shown.since > PAUSE) before = shown;
      shown = { bitmap, caption: model.get("caption"), since: performance.now() };
    } else pinned = before = null;  // another photograph
    watchers.forEach((watcher) => watcher());
  }

  function outline(item) {
    if (!outlines.has(item)) {
      const path = new Path2D();
      const [x1, y1, x2, y2] = item.box;
      if (!item.outline?.length) path.rect(x1, y1, x2 - x1, y2 - y1);
      for (const ring of item.outline ?? []) {  // through the middles of pixels
        path.moveTo(ring[0] + 0.5, ring[1] + 0.5);
        for (let at = 2; at < ring.length; at += 2) path.lineTo(ring[at] + 0.5, ring[at + 1] + 0.5);
        path.closePath();
      }
      outlines.set(item, path);
    }
    return outlines.get(item);
  }

  // Where the two panels lie in a space of this width and at most this height; below each other where larger.
  function arrange(model, width, height) {
    const [rows, columns] = model.get("size");
    const beside = Math.min((width - 3 * GAP) / 2 / columns, (height - TITLE - GAP) / rows);
    const stacked = Math.min((width - 2 * GAP) / columns, (height - 2 * TITLE - GAP) / 2 / rows);
    const scale = Math.max(stacked > 1.4 * beside ? stacked : beside, 1 / Math.max(rows, columns));
    const [w, h] = [columns * scale, rows * scale];
    if (stacked > 1.4 * beside) {
      const x = (width - w) / 2;
      return { height: 2 * (TITLE + h) + GAP, frames: [TITLE, 2 * TITLE + h].map((y) => ({ x, y, w, h })) };
    }
    const x = (width - 2 * w - GAP) / 2;
    return { height: TITLE + h + GAP, frames: [x, x + w + GAP].map((x) => ({ x, y: TITLE, w, h })) };
  }

  function paint(context, model, frames, view) {
    const [rows, columns] = model.get("size"), titles = model.get("titles");
    frames.forEach((frame, panel) => {
      const compared = panel === 1 && view.comparing ? (pinned ?? before) : null;
      const bitmap = compared?.bitmap ?? bitmaps[panel];
      context.font = `600 13px system-ui, sans-serif`;
      context.fillStyle = INK;
      const room = frame.y > TITLE ? frame.w : Math.min(frame.w, view.bar - frame.x);  // left of the buttons
      const title = compared?.bitmap ? `Before: ${compared.caption}` : titles[panel];
      context.fillText(shortened(context, title ?? "", room), frame.x, frame.y - 10);
      if (!bitmap) return;
      context.save();
      context.beginPath();
      context.rect(frame.x, frame.y, frame.w, frame.h);
      context.clip();
      const still = model.get("fixed")[panel];  // a plot: nothing to look at more closely
      const [zoom, x, y] = still ? [1, 0, 0] : [view.zoom, view.x, view.y];
      context.imageSmoothingEnabled = (frame.w * zoom * devicePixelRatio) / bitmap.width < PIXELATED;
      context.imageSmoothingQuality = "high";
      const [sw, sh] = [bitmap.width / zoom, bitmap.height / zoom];
      context.drawImage(bitmap, x * bitmap.width, y * bitmap.height, sw, sh, frame.x, frame.y, frame.w, frame.h);
      if (model.get("mapped")[panel] && !compared?.bitmap) {
        const scale = (frame.w * zoom) / columns;
        const place = (px, py) => [frame.x + px * scale - x * frame.w * zoom, frame.y + py * scale - y * frame.h * zoom];
        for (const id of [view.hovered, model.get("selected")]) {
          const item = model.get("items").find((item) => item.id === id);
          if (!item) continue;
          context.save();
          context.translate(...place(0, 0));
          context.scale(scale, scale);
          for (const [color, width] of [["#000c", 5], ["#fff", 2.5]]) {
            [context.strokeStyle, context.lineWidth] = [color, width / scale];
            if (id !== model.get("selected")) context.setLineDash([6 / scale, 4 / scale]);
            context.stroke(outline(item));
          }
          context.restore();
        }
        if (panel === model.get("mapped").lastIndexOf(true) && model.get("labels")) labels(context, model, frame, place);
      }
      if (panel === 1 && model.get("note")) note(context, model.get("note"), frame);
      context.restore();
    });
  }

  // The best ones choose their places first; each of the others takes the nearest free height, in its box if it can.
  function labels(context, model, frame, place) {
    context.font = frame.h < 260 ? SMALL : FONT;
    const taken = [], [most, lowest] = [frame.x + frame.w, frame.y + frame.h - TAG];
    for (const item of model.get("items")) {
      const [left, head] = place(item.box[0], item.box[1]), [right, foot] = place(item.box[2], item.box[3]);
      if (!item.label || right < frame.x || foot < frame.y || left > most || head > lowest) continue;
      const [x, y] = place(...item.at), width = context.measureText(item.label).width + 8;
      const tag = { x: clamp(x - width / 2, frame.x, most - width), y: clamp(y - TAG, frame.y, lowest), width };
      const free = (height) => !taken.some((other) => touches({ ...tag, y: height }, other));
      const heights = [tag.y, ...taken.flatMap((other) => [other.y + TAG, other.y - TAG])];
      const beside = (height) => (height < tag.y || height > foot ? frame.h : 0);
      const away = (height) => Math.abs(height - tag.y) + beside(height);
      const inside = heights.filter((height) => height >= frame.y && height <= lowest && free(height));
      tag.y = inside.sort((one, other) => away(one) - away(other))[0] ?? tag.y;
      taken.push(tag);
      context.fillStyle = item.color;
      context.fillRect(tag.x, tag.y, width, TAG);
      context.fillStyle = dark(item.color) ? "#fff" : "#000";
      context.fillText(item.label, tag.x + 4, tag.y + 13);
    }
  }

  function note(context, text, frame) {
    context.font = "13px system-ui, sans-serif";
    const lines = wrapped(context, text, frame.w - 16), height = 18 * lines.length + 10;
    context.fillStyle = "#000b";
    context.fillRect(frame.x, frame.y + frame.h - height, frame.w, height);
    context.fillStyle = "#fff";
    lines.forEach((line, row) => context.fillText(line, frame.x + 8, frame.y + frame.h - height + 19 + 18 * row));
  }

  // The whole picture as it would be in a window of this width, as a data URL.
  function still(model, width = 1168) {
    const { height, frames } = arrange(model, width, 900);
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    context.fillStyle = MOUNT;
    context.fillRect(0, 0, width, height);
    paint(context, model, frames, { zoom: 1, x: 0, y: 0, bar: width });
    return canvas.toDataURL("image/jpeg", 0.9);
  }

  return {
    initialize({ model }) {
      const [left, right] = [() => decode(model, 0), () => decode(model, 1)];
      const others = () => { outlines = new Map(); watchers.forEach((watcher) => watcher()); };
      model.on("change:items", () => { turns[2] += 1; });
      model.on("change:left", left);
      model.on("change:right", right);
      for (const name of ["items", "titles", "size", "selected", "note", "labels", "mapped"])
        model.on(`change:${name}`, others);
      model.on("msg:custom", (content, buffers) => {
        if (content.download) download(content.download, buffers[0]);
      });
      left();
      right();
      keepInSavedNotebook(model, () => (bitmaps[1] ? still(model) : null));  // saved_notebook.js
    },

    render({ model, el }) {
      el.classList.add("maskseg-view");
      const view = { zoom: 1, x: 0, y: 0, hovered: 0, comparing: false, bar: 0 };
      let frames = [], pending = false, clicked = null, dragged = null;
      const canvas = make("canvas", { tabIndex: 0, className: "maskseg-picture" });
      canvas.setAttribute("role", "application");
      canvas.setAttribute("aria-roledescription", "picture");
      canvas.dataset.lmSuppressShortcuts = "true";  // JupyterLab's own keys, such as B for a new cell
      const bar = make("div", { className: "maskseg-view-bar" });
      const tip = make("div", { className: "maskseg-tip", hidden: true });
      const spoken = make("div", { className: "maskseg-spoken" });
      spoken.setAttribute("aria-live", "polite");
      const veil = make("div", { className: "maskseg-veil", hidden: true });
      const doing = make("span"), cancel = make("button", { textContent: "Cancel", type: "button" });
      doing.setAttribute("role", "status");
      veil.append(doing, cancel);
      el.append(bar, canvas, tip, veil, spoken);

      const tool = (text, name, action) => {
        const button = make("button", { type: "button", textContent: text, title: name });
        if (text.length === 1) button.setAttribute("aria-label", name);  // a sign; a word is its own name
        if (action) button.addEventListener("click", action);
        bar.append(button);
        return button;
      };
      tool("\u2212", "Zoom out (-)", () => zoomAt(0.8, middle()));
      tool("+", "Zoom in (+)", () => zoomAt(1.25, middle()));
      tool("\u2922", "Whole picture (0)", () => zoomTo(1, 0, 0));
      const pin = tool("Pin", "Keep this picture, to compare others with it", () => {
        pinned = pinned ? null : shown;
        watchers.forEach((watcher) => watcher());
      });
      const hold = tool("Compare", "Hold: the pinned picture, else the one before the last change (C)");

      const middle = () => [view.x + 0.5 / view.zoom, view.y + 0.5 / view.zoom];
      function zoomTo(zoom, x, y) {
        view.zoom = clamp(zoom, 1, MOST_ZOOM);
        view.x = clamp(x, 0, 1 - 1 / view.zoom);
        view.y = clamp(y, 0, 1 - 1 / view.zoom);
        redraw();
      }
      function zoomAt(factor, [x, y]) {  // the place stays where it is
        const zoom = clamp(view.zoom * factor, 1, MOST_ZOOM), part = view.zoom / zoom;
        zoomTo(zoom, x - (x - view.x) * part, y - (y - view.y) * part);
      }
      function compare(on) {
        view.comparing = on;
        redraw();
      }

      function resize() {
        const app = el.closest(".maskseg") ?? el, width = el.clientWidth;
        if (!width) return;
        const above = el.getBoundingClientRect().top - app.getBoundingClientRect().top;
        const arranged = arrange(model, width, Math.max(LEAST_HEIGHT, screenHeight(el) - above));
        frames = arranged.frames;
        canvas.style.height = `${arranged.height}px`;
        const [w, h] = [width, arranged.height].map((side) => Math.round(side * devicePixelRatio));
        if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
        view.bar = bar.offsetLeft - GAP;
        redraw();
      }
      function redraw() {
        if (!pending) requestAnimationFrame(() => { pending = false; draw(); });
        pending = true;
      }
      function draw() {
        const context = canvas.getContext("2d");
        context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
        context.fillStyle = MOUNT;
        context.fillRect(0, 0, canvas.width, canvas.height);
        paint(context, model, frames, view);
        pin.setAttribute("aria-pressed", String(Boolean(pinned)));
        canvas.dataset.turns = turns.join(" ");  // another picture has been drawn
      }

      // Where an event is: the panel, and the place in its picture; null between the panels.
      function locate(event) {
        const frame = canvas.getBoundingClientRect();
        const [x, y] = [event.clientX - frame.left, event.clientY - frame.top];
        const panel = frames.findIndex((f) => x >= f.x && x < f.x + f.w && y >= f.y && y < f.y + f.h);
        if (panel < 0) return null;
        const [f, zoomed] = [frames[panel], !model.get("fixed")[panel]];
        const [px, py] = [(x - f.x) / f.w, (y - f.y) / f.h];
        return zoomed ? { panel, x: view.x + px / view.zoom, y: view.y + py / view.zoom } : { panel, x: px, y: py };
      }
      // The items at a place, the smallest first.
      function itemsAt(place) {
        if (!place || !model.get("mapped")[place.panel]) return [];
        const [rows, columns] = model.get("size"), context = canvas.getContext("2d");
        const [x, y] = [place.x * columns, place.y * rows];
        const area = ({ box: [x1, y1, x2, y2] }) => (x2 - x1) * (y2 - y1);
        context.save();
        context.setTransform(1, 0, 0, 1, 0, 0);
        const found = model.get("items").filter((item) => context.isPointInPath(outline(item), x, y, "evenodd"));
        context.restore();
        return found.sort((one, other) => area(one) - area(other));
      }
      function select(item) {
        model.set("selected", item?.id ?? 0);
        model.save_changes();
      }
      function step(by) {
        const items = model.get("items");
        const at = items.findIndex((item) => item.id === model.get("selected"));
        if (items.length) select(items[(Math.max(at, by > 0 ? -1 : 0) + by + items.length) % items.length]);
      }
      function say() {
        const item = model.get("items").find((item) => item.id === model.get("selected"));
        spoken.textContent = item ? `Selected: ${item.text}` : "";
        redraw();
      }

      canvas.addEventListener("pointerdown", (event) => {
        if (event.button) return;
        dragged = { at: [event.clientX, event.clientY], from: [view.x, view.y], moved: false };
        canvas.setPointerCapture(event.pointerId);
      });
      canvas.addEventListener("pointermove", (event) => {
        const place = locate(event);
        if (dragged) {
          const [dx, dy] = [event.clientX - dragged.at[0], event.clientY - dragged.at[1]];
          dragged.moved ||= Math.hypot(dx, dy) > 4;
          if (dragged.moved && view.zoom > 1) {
            const { w, h } = frames[0];
            zoomTo(view.zoom, dragged.from[0] - dx / w / view.zoom, dragged.from[1] - dy / h / view.zoom);
          }
          return;
        }
        const [item] = itemsAt(place);
        if (view.hovered !== (item?.id ?? 0)) redraw();
        view.hovered = item?.id ?? 0;
        tip.hidden = !item;
        canvas.style.cursor = item || model.get("clickable") ? "pointer" : view.zoom > 1 ? "grab" : "default";
        if (!item) return;
        const frame = el.getBoundingClientRect();
        tip.textContent = item.text;
        tip.style.left = `${clamp(event.clientX - frame.left + 14, 0, frame.width - tip.offsetWidth)}px`;
        tip.style.top = `${event.clientY - frame.top + 18}px`;
      });
      canvas.addEventListener("pointerup", (event) => {
        const moved = dragged?.moved;
        dragged = null;
        if (moved || event.button) return;
        const place = locate(event);
        if (!place) return;
        const found = itemsAt(place), near = clicked && Math.hypot(event.clientX - clicked[0], event.clientY - clicked[1]) < 6;
        const at = near ? found.findIndex((item) => item.id === model.get("selected")) : -1;
        clicked = [event.clientX, event.clientY];
        if (found.length) select(found[(at + 1) % found.length]);  // a second click takes the next one below
        else if (model.get("clickable")) model.send(place);
        else select(null);
      });
      canvas.addEventListener("pointercancel", () => { dragged = null; });
      canvas.addEventListener("pointerleave", () => { view.hovered = 0; tip.hidden = true; redraw(); });
      canvas.addEventListener("wheel", (event) => {
        if (!event.ctrlKey && !event.metaKey) return;  // the page scrolls
        event.preventDefault();
        const place = locate(event);
        if (place) zoomAt(Math.exp(-event.deltaY / 300), [place.x, place.y]);
      }, { passive: false });
      canvas.addEventListener("dblclick", (event) => {
        const place = locate(event);
        if (place && !itemsAt(place).length && !model.get("clickable")) zoomAt(2, [place.x, place.y]);
      });
      const keys = {
        "+": () => zoomAt(1.25, middle()), "=": () => zoomAt(1.25, middle()), "-": () => zoomAt(0.8, middle()),
        0: () => zoomTo(1, 0, 0), n: () => step(1), p: () => step(-1), Escape: () => select(null),
        h: () => model.get("selected") && model.send({ hide: model.get("selected") }), c: () => compare(true),
        ArrowLeft: () => zoomTo(view.zoom, view.x - 0.1 / view.zoom, view.y),
        ArrowRight: () => zoomTo(view.zoom, view.x + 0.1 / view.zoom, view.y),
        ArrowUp: () => zoomTo(view.zoom, view.x, view.y - 0.1 / view.zoom),
        ArrowDown: () => zoomTo(view.zoom, view.x, view.y + 0.1 / view.zoom),
      };
      canvas.addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
        event.preventDefault();
        if (!event.repeat || event.key !== "c") keys[event.key]();
      });
      canvas.addEventListener("keyup", (event) => { if (event.key === "c") compare(false); });
      hold.addEventListener("pointerdown", () => compare(true));
      for (const name of ["pointerup", "pointerleave", "blur"]) hold.addEventListener(name, () => compare(false));
      for (const [name, on] of [["keydown", true], ["keyup", false]])
        hold.addEventListener(name, (event) => { if ([" ", "Enter"].includes(event.key)) compare(on); });
      cancel.addEventListener("click", () => { doing.textContent = "Stopping ..."; model.send({ cancel: true }); });

      const describe = () => canvas.setAttribute("aria-label", model.get("description"));
      const busy = () => {
        veil.hidden = !model.get("busy");
        cancel.hidden = !model.get("cancellable");
        doing.textContent = model.get("busy");
      };
      const listeners = { description: describe, busy, cancellable: busy, selected: say, size: resize };
      for (const [name, listener] of Object.entries(listeners)) model.on(`change:${name}`, listener);
      watchers.add(redraw);
      const observer = new ResizeObserver(resize);
      observer.observe(el);
      // The rows above may grow, and are in the page only after this.
      requestAnimationFrame(() => { const app = el.closest(".maskseg"); if (app) observer.observe(app); });
      const gone = new AbortController();
      window.addEventListener("resize", resize, { signal: gone.signal });
      (function watchDensity() {  // on another screen as many CSS pixels may be more of its own
        const now = matchMedia(`(resolution: ${devicePixelRatio}dppx)`);
        now.addEventListener("change", () => { resize(); watchDensity(); }, { once: true, signal: gone.signal });
      })();
      Object.assign(canvas, { panels: bitmaps, frames: () => frames });  // for whoever looks on from outside
      describe();
      busy();
      resize();
      return () => {
        watchers.delete(redraw);
        observer.disconnect();
        gone.abort();
        for (const [name, listener] of Object.entries(listeners)) model.off(`change:${name}`, listener);
      };
    },
  };
};

const clamp = (value, least, most) => Math.min(Math.max(value, least), Math.max(least, most));
const make = (tag, properties = {}) => Object.assign(document.createElement(tag), properties);

const touches = (tag, other) =>
  tag.x < other.x + other.width && other.x < tag.x + tag.width && Math.abs(tag.y - other.y) < TAG;

function dark(color) {
  const [red, green, blue] = color.match(/\d+/g).map(Number);
  return 0.299 * red + 0.587 * green + 0.114 * blue < 140;
}

function shortened(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  while (text && context.measureText(`${text}...`).width > width) text = text.slice(0, -1);
  return text && `${text}...`;
}

function wrapped(context, text, width) {
  const lines = [""];
  for (const word of text.split(" ")) {
    const longer = `${lines.at(-1)} ${word}`.trim();
    if (lines.at(-1) && context.measureText(longer).width > width) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  return lines;
}

// How high the part of the page is in which the app can be seen without scrolling.
function screenHeight(el) {
  const notebook = ".jp-WindowedPanel-outer";  // JupyterLab's; elsewhere the window itself scrolls
  return ((document.fullscreenElement ?? el.closest(notebook))?.clientHeight ?? innerHeight) - 8;
}

function download(name, buffer) {
  const link = make("a", { download: name, href: URL.createObjectURL(new Blob([buffer])) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
