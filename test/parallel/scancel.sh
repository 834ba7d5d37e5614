#!/bin/sh
# Stands in for scancel.
echo "$1" >>"$JOBS/cancelled"
[ -z "$1" ] || kill -- "-$1"
