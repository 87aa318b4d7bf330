#!/bin/bash
# Removes what tests that are gone left behind: namespaces vt-PID-… whose test
# process PID lives no more, with all that runs in them, and their folders.
set -u

# Whether the test process $1 lives. One that has ended and is not waited for
# yet, a zombie, does not.
lives() {
	local state
	state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null)
	[ -n "$state" ] && [ "$state" != Z ] && [ "$state" != X ]
}

for namespace in /run/netns/vt-*; do
	[ -e "$namespace" ] || continue
	name=${namespace##*/}
	pid=${name#vt-}
	pid=${pid%%-*}
	lives "$pid" && continue
	ip netns pids "$name" 2>/dev/null | xargs -r kill -KILL 2>/dev/null
	ip netns delete "$name" 2>/dev/null
done

for folder in "${TMPDIR:-/tmp}"/vt-*; do
	[ -d "$folder" ] || continue
	name=${folder##*/}
	pid=${name#vt-}
	pid=${pid%%-*}
	lives "$pid" && continue
	rm -rf "$folder"
done
exit 0
