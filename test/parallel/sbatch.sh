#!/bin/sh
# Stands in for sbatch: runs the script as processes of this machine, and keeps it in $JOBS.
[ -z "$REFUSED" ] || { echo "sbatch: error: $REFUSED" >&2; exit 1; }
cp "$1" "$JOBS/$$.job"
[ -n "$WAITS" ] || setsid sh "$JOBS/$$.job" </dev/null >"$JOBS/$$.log" 2>&1 &
echo "Submitted batch job $!"
