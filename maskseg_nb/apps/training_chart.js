// One PNG file, as an <img> with a text for those who cannot see it.

export default {
  initialize({ model }) {
    const address = () => {
      const bytes = new Uint8Array(model.get("value").buffer);
      return `data:image/png;base64,${btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""))}`;
    };
    keepInSavedNotebook(model, address);  // saved_notebook.js
  },

  render({ model, el }) {
    const chart = document.createElement("img");
    chart.className = "maskseg-chart";
    chart.style.maxWidth = "100%";
    const show = () => {
      const address = URL.createObjectURL(new Blob([model.get("value")], { type: "image/png" }));
      chart.onload = () => URL.revokeObjectURL(address);
      [chart.src, chart.alt] = [address, model.get("description")];
    };
    model.on("change:value", show);
    show();
    el.append(chart);
    return () => model.off("change:value", show);
  },
};
