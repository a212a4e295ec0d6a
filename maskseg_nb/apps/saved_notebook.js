// A saved notebook holds no widgets, and tomorrow's page would say "model not found". So what is written of an app
// is its last picture; the page itself keeps the live app. Python puts this before the modules that call it.

const WIDGET_VIEW = "application/vnd.jupyter.widget-view+json";

// `picture` returns a data URL, or null; `model.get("app_id")` is the model id of what the cell shows.
function keepInSavedNotebook(model, picture) {
  const notebook = model.widget_manager.context?.model;  // of JupyterLab and Notebook; others have none
  if (!notebook?.toJSON) return;
  if (!notebook.masksegPictures) {
    const [pictures, toJSON] = [new Set(), notebook.toJSON.bind(notebook)];
    notebook.masksegPictures = pictures;
    notebook.toJSON = () => withPictures(toJSON(), pictures);
  }
  const pictureOf = (id) => (id && id === model.get("app_id") ? picture() : null);
  notebook.masksegPictures.add(pictureOf);
  model.on("destroy", () => notebook.masksegPictures.delete(pictureOf));
}

// A notebook's content in which each app that one of the pictures knows is replaced by it.
function withPictures(content, pictures) {
  for (const cell of content.cells ?? [])
    cell.outputs = cell.outputs?.map((output) => {
      const id = output.data?.[WIDGET_VIEW]?.model_id;
      const address = [...pictures].map((pictureOf) => pictureOf(id)).find(Boolean);
      if (!address) return output;
      const { [WIDGET_VIEW]: view, "image/png": png, ...data } = output.data;
      const [, type, base64] = address.match(/^data:([^;]*);base64,(.*)$/);
      return { ...output, data: { ...data, [type]: base64 } };
    });
  return content;
}
