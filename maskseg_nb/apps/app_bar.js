// The bar over an app: folds its controls, presents it, and gives names to what ipywidgets leaves nameless.

const LOW = 620;  // CSS pixels: in a window as low as this one the controls are folded at first

export default {
  render({ model, el }) {
    el.classList.add("maskseg-bar");
    const app = () => el.closest(".maskseg");
    const button = (text, name, action) => {
      const made = Object.assign(document.createElement("button"), { type: "button", textContent: text, title: name });
      made.addEventListener("click", action);
      el.append(made);
      return made;
    };
    const fold = button("Controls", "Fold the controls that are not sliders, or unfold them", () => toggle("maskseg-folded"));
    const present = button("Present", "The picture and its sliders, as large as the screen (Escape ends it)", () =>
      document.fullscreenElement ? document.exitFullscreen() : app().requestFullscreen().catch(() => toggle("maskseg-presenting")));
    const lost = Object.assign(document.createElement("span"), { className: "maskseg-error", hidden: true });
    lost.setAttribute("role", "alert");
    lost.textContent = "The kernel is gone: run this cell again";
    el.append(lost);

    function toggle(name) {
      app().classList.toggle(name);
      pressed();
      window.dispatchEvent(new Event("resize"));  // the picture takes the room that is left
    }
    function pressed() {
      const classes = app().classList;
      fold.setAttribute("aria-expanded", String(!classes.contains("maskseg-folded")));
      present.setAttribute("aria-pressed", String(classes.contains("maskseg-presenting")));
    }
    function onFullscreen() {
      app()?.classList.toggle("maskseg-presenting", document.fullscreenElement === app());
      if (app()) pressed();
    }

    // ipywidgets names a slider by a label beside it, its number field by a tooltip, and a toggle not at all.
    function nameAll() {
      const root = app();
      if (!root) return;
      for (const slider of root.querySelectorAll(".widget-slider")) {
        const handle = slider.querySelector(".noUi-handle"), name = slider.querySelector("label")?.textContent;
        if (!handle) continue;
        set(handle, "aria-label", name);
        const text = handle.getAttribute("aria-valuetext"), said = Number(text);
        if (text && !Number.isInteger(said)) set(handle, "aria-valuetext", String(Math.round(said * 100) / 100));
      }
      for (const field of root.querySelectorAll(".widget-text")) {
        const input = field.querySelector("input"), label = field.querySelector("label");
        if (input && !label?.textContent.trim()) set(input, "aria-label", label?.title || field.title);
      }
      for (const toggle of root.querySelectorAll(".widget-toggle-button"))
        set(toggle, "aria-pressed", String(toggle.classList.contains("mod-active")));
      for (const place of root.querySelectorAll(".maskseg-message, .maskseg-status")) set(place, "role", "status");
      for (const hint of root.querySelectorAll('[title="null"]')) hint.removeAttribute("title");
    }
    function set(element, attribute, value) {  // only what changes: else this would go round in circles
      if (value && element.getAttribute(attribute) !== value) element.setAttribute(attribute, value);
    }
    const changes = new MutationObserver(nameAll);
    const began = requestAnimationFrame(() => {
      if (!app()) return;
      if (innerHeight < LOW) app().classList.add("maskseg-folded");
      pressed();
      nameAll();
      const attributeFilter = ["aria-valuetext", "class", "title"];
      changes.observe(app(), { subtree: true, childList: true, attributes: true, attributeFilter });
    });
    const onLive = () => { lost.hidden = false; };
    model.on("comm_live_update", onLive);
    const session = model.widget_manager.context?.sessionContext;
    const onStatus = (_, status) => {
      if (["restarting", "autorestarting", "dead", "terminating"].includes(status)) lost.hidden = false;
    };
    session?.statusChanged.connect(onStatus);
    document.addEventListener("fullscreenchange", onFullscreen);
    return () => {
      cancelAnimationFrame(began);
      changes.disconnect();
      session?.statusChanged.disconnect(onStatus);
      document.removeEventListener("fullscreenchange", onFullscreen);
    };
  },
};
