#!/bin/sh
# The smallest device, to show that anything will do: y = p0 x + p1 in plain shell, awk does the sums. One input, one output, two parameters.
# Speaks docs/device-protocol.md. Test it: ffzero device check "exec:sh bench.sh"     SPDX-License-Identifier: MIT
make_safe() { ready=no p0=0 p1=0 s0=0 s1=0 evaluation= rows=0; }
inside() { case $1 in '' | *[!-+.0-9eE]*) return 1 ;; esac; awk "BEGIN { exit !($1 >= -10 && $1 <= 10) }"; }
return=$(printf '\r')
trap 'make_safe; exit' TERM
trap '' PIPE # a host that has gone is noticed by reading
make_safe
while IFS= read -r line; do
  if [ ${#line} -gt 254 ]; then echo "0 error unsupported a line of more than 255 bytes"; continue; fi
  line=${line%"$return"}
  set -f; set -- $line
  [ $# -ge 2 ] || continue
  n=$1 verb=$2; shift 2
  if [ "$evaluation" ] && [ "$verb" != row ]; then echo "$evaluation error retry rows are missing"; evaluation=; fi
  case $verb in
    row)
      [ "$n" = "$evaluation" ] || continue # of an eval that was refused
      case $1 in
        *[nN]*) echo "$n row nan" ;;
        *) awk "BEGIN { printf \"$n row %.9g\\n\", ($p0) * ($1) + ($p1) }" ;;
      esac
      rows=$((rows - 1))
      if [ "$rows" -eq 0 ]; then echo "$n ok"; evaluation=; fi ;;
    hello)
      make_safe
      printf "$n %s\n" "proto 1" "id ffzero-bench-sh" "shape 1 1 2" "param 0 2 min -10 max 10 safe 0" "time answer_ms 5000 safe_ms 500" \
        "cap linemax 255 rows 64 get ping" ok ;;
    ready) ready=yes; echo "$n ok" ;;
    ping) echo "$n ok" ;;
    get) if [ "$1" = 0 ]; then set -- "$2" "$p0" "$p1"; else set -- "$2" "$p1"; fi
      count=$1; shift
      while [ "$count" -gt 0 ] && [ $# -gt 0 ]; do echo "$n row $1"; shift; count=$((count - 1)); done; echo "$n ok" ;;
    safe) make_safe; echo "$n ok" ;;
    bye) make_safe; echo "$n ok"; exit ;;
    set | eval)
      if [ $ready = no ]; then echo "$n error unready say ready first"; continue; fi
      if [ $verb = set ]; then
        first=$1 bad=no; shift
        [ $((first + $#)) -le 2 ] || bad=yes
        for value; do inside "$value" || bad=yes; done
        if [ $bad = yes ]; then echo "$n error range"; continue; fi
        for value; do eval "s$first=\$value"; first=$((first + 1)); done
        echo "$n ok"
      elif [ $# -eq 1 ] && [ "$1" -le 64 ]; then
        p0=$s0 p1=$s1 rows=$1 evaluation=$n
        if [ "$rows" -eq 0 ]; then echo "$n ok"; evaluation=; fi
      else
        echo "$n error unsupported"
      fi ;;
    *) echo "$n error unsupported" ;;
  esac
done
make_safe
