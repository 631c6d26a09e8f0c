-- name: note
INSERT INTO app.time_series_place (place) VALUES ($1) ON CONFLICT DO NOTHING

-- name: place
SELECT place FROM app.time_series_place
