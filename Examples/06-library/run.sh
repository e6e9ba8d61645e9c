#!/usr/bin/env bash
source "$(dirname "$0")/../../Scripts/scratch-network.bash"
cd "$(dirname "$0")"
# A first build tells of the packages it fetches: that is no part of what the example shows.
if ! build=$(swift build --quiet --scratch-path "$root/.build/example-library" 2>&1); then
    echo "$build"
    exit 1
fi

gateway
web_server
"$clearway" rules -c clearway.toml --format shell | sh >/dev/null
"$root/.build/example-library/debug/WhereTo" >"$scratch/program.log" &
processes+=("$!")
wait_until "listener" eval 'ss -Hltn "sport = :1081" | grep -q .'

run client curl -s http://198.51.100.2/
run client curl -s http://198.51.100.2:81/ || echo "(nothing)"
run client curl -gs 'http://[2001:db8:2::2]/'
echo "the program:"
sed -E 's/(192.0.2.2|2001:db8:1::2\]):[0-9]+/\1:PORT/' "$scratch/program.log"
