#!/usr/bin/env bash
# The main job on an empty machine: build om, store data, query, train, predict.
# Uses a store of its own in a temporary directory; OM_DATA may name a directory with the
# full flights.csv.gz and iris.csv, otherwise the small copies in examples/data are used.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
data=${OM_DATA:-$root/examples/data}

cargo build --release --manifest-path "$root/Cargo.toml"
PATH=$root/target/release:$PATH
store=$(mktemp -d)
trap 'rm -rf "$store"' EXIT
export OMEGA_STORE_URL=file://$store

say() { printf '\n$ %s\n' "$*"; }
do_it() { say "$@"; "$@"; }

do_it om datasets put "$data/flights.csv.gz" flights
do_it om datasets put "$root/examples/data/airlines.csv" airlines
do_it om datasets put "$data/iris.csv" iris
do_it om datasets list -o wide
do_it om datasets show flights --columns carrier,origin,dest,dep_delay,arr_delay -n 5
do_it om datasets query flights --by origin --agg arr_delay=mean,max --agg flight=count
do_it om datasets get flights - --where 'arr_delay >= 300 and origin == "JFK"' --columns carrier,dest,arr_delay --sort -arr_delay --limit 3
do_it om datasets sql 'select name, avg(arr_delay) as delay from flights join airlines using (carrier) group by name order by delay desc limit 3'
do_it om models put 'standard-scaler|logistic-regression' iris-clf
do_it om runtime model iris-clf fit 'iris[^species]' 'iris[species]'
do_it om runtime model iris-clf score 'iris[^species]' 'iris[species]'
do_it om runtime model iris-clf predict '[[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]'
do_it om runtime model iris-clf predict 'iris[^species]' --result predicted
do_it om datasets query predicted --by species
do_it om models show iris-clf
printf '\nDone. Nothing was left behind; your own store is made by the first `om datasets put`.\n'
