-- What the kcidb tools and library expect of a database. They take a database without get_version() for an empty one, and
-- one with another answer for another schema.

CREATE OR REPLACE FUNCTION get_version() RETURNS integer
    LANGUAGE sql IMMUTABLE
    AS 'SELECT 5003';

CREATE OR REPLACE FUNCTION first_agg(anyelement, anyelement) RETURNS anyelement
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS 'SELECT $1';

CREATE OR REPLACE FUNCTION last_agg(anyelement, anyelement) RETURNS anyelement
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS 'SELECT $2';

-- A strict state function skips NULLs and starts with the first value that is not NULL.
CREATE OR REPLACE AGGREGATE first(anyelement) (SFUNC = first_agg, STYPE = anyelement, PARALLEL = SAFE);
CREATE OR REPLACE AGGREGATE last(anyelement) (SFUNC = last_agg, STYPE = anyelement, PARALLEL = SAFE);

CREATE OR REPLACE FUNCTION encode_uri_component(text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT
    AS $$
    SELECT coalesce(string_agg(
        CASE WHEN letter ~ '^[0-9A-Za-z_.!~*''()-]$' THEN letter
             ELSE regexp_replace(encode(convert_to(letter, 'UTF8'), 'hex'), '(..)', '%\1', 'g')
        END, '' ORDER BY place), '')
    FROM regexp_split_to_table($1, '') WITH ORDINALITY AS letters (letter, place)
$$;
