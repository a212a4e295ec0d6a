"""Arrays onto pixels: overlays, boxes, the panels of the stages, and figures that show them.

Read `overlay` and `figures` first; then `colors`, `boxes`, `tags`, `crop`, `heatmaps`, `panels`,
`stage_pictures` and `film_strip`; `network_map` and its `map_panels`; `nms_film`; and the
figures of single lessons, `pyramid_figures`, `roi_figures` and `mask_figures`.
"""
