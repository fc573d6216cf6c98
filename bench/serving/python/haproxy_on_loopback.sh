#!/bin/sh
# HAProxy as Ray starts it, but on loopback alone: its statistics and measures have no option for a host.
previous=
for argument; do
  if [ "$previous" = -f ]; then
    sed -i 's/bind \*\{0,1\}:/bind 127.0.0.1:/' "$argument"
  fi
  previous=$argument
done
exec "$BENCH_HAPROXY" "$@"
