#!/bin/sh
# The gate of a Greenroom registry: judges each push before git accepts it, and refuses the push if greenroom is missing.
greenroom=/opt/greenroom/greenroom
[ -x "$greenroom" ] || {
    echo "greenroom: the gate of this registry cannot run: $greenroom does not exist." >&2
    exit 1
}
exec "$greenroom" hook pre-receive --host bitbucket
