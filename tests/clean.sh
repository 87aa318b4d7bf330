#!/bin/bash
# Removes what tests that are gone left behind: namespaces vt-PID-… whose test
# process PID lives no more, with all that runs in them, and their folders.
set -u

for namespace in /run/netns/vt-*; do
	[ -e "$namespace" ] || continue
	name=${namespace##*/}
	pid=${name#vt-}
	pid=${pid%%-*}
	[ -d "/proc/$pid" ] && continue
	ip netns pids "$name" 2>/dev/null | xargs -r kill -KILL 2>/dev/null
	ip netns delete "$name" 2>/dev/null
done

for folder in "${TMPDIR:-/tmp}"/vt-*; do
	[ -d "$folder" ] || continue
	name=${folder##*/}
	pid=${name#vt-}
	pid=${pid%%-*}
	[ -d "/proc/$pid" ] && continue
	rm -rf "$folder"
done
exit 0
