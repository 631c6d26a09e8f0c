-- A tier is a price by age. Lines of every age are plain files in the folder `logs` of the home, and
-- nothing moves or compresses them: so the rows say.
UPDATE app.storage_tier
   SET technology = 'files in logs/, as written', compression_ratio = 1.0, version = version + 1
 WHERE tier_name IN ('hot', 'warm', 'cold');
