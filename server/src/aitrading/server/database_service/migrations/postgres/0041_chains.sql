CREATE SCHEMA chains;
GRANT USAGE ON SCHEMA chains TO "database";

-- Chains as a graph: which hop is done by which part, what else it needs, and which hop feeds it.
-- They describe the installation and belong to no organisation.
CREATE TABLE chains.chain_definitions (
    name        text        PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9-]{0,62}$'),
    origin      text        NOT NULL CHECK (origin IN ('declared', 'custom')),
    description text        NOT NULL CHECK (length(description) <= 500),
    definition  jsonb       NOT NULL CHECK (length(definition::text) <= 65536),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE, DELETE ON chains.chain_definitions TO "database";

-- source fails => target is lost. Nodes are 'part/<name>' and 'hop/<chain>/<name>'.
CREATE TABLE chains.chain_edges (
    chain  text NOT NULL REFERENCES chains.chain_definitions (name) ON DELETE CASCADE,
    source text NOT NULL CHECK (length(source) <= 200),
    target text NOT NULL CHECK (length(target) <= 200),
    kind   text NOT NULL CHECK (kind IN ('does', 'needed-by', 'feeds')),
    PRIMARY KEY (chain, source, target, kind)
);
CREATE INDEX chain_edges_by_source ON chains.chain_edges (source);
GRANT SELECT, INSERT, DELETE ON chains.chain_edges TO "database";
