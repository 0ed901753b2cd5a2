#!/usr/bin/env bash
# Where mpirun puts ranks, and how they multiply. Sourced by the jobs here; docs/cluster.md tells why.
#
#   physical_cores               cores that this process may use; the hardware threads of a core count once
#   binding_options CORES RANKS  options of mpirun (Open MPI 4) for RANKS ranks on a node with CORES cores
#   fast_products                run.products that models of more than a few million parameters are faster with (docs/adr/0091)
#
# A rank is one thread, so it gets a core to itself, and ranks are dealt to the NUMA nodes in turn: each one's memory lies beside
# it, and all memory channels work. With fewer cores than ranks the kernel places them, and with BIND=none, too.

physical_cores() {
  { lscpu -p=CPU,CORE,SOCKET 2>/dev/null || seq 0 $(($(nproc) - 1)) | sed 's/.*/&,&,0/'; } |
    awk -F, -v allowed="$(sed -n 's/^Cpus_allowed_list:[ \t]*//p' /proc/self/status)" '
      BEGIN {
        n = split(allowed, ranges, ",")
        for (i = 1; i <= n; ++i) {
          last = split(ranges[i], ends, "-")
          for (cpu = ends[1] + 0; cpu <= ends[last] + 0; ++cpu) may[cpu] = 1
        }
      }
      !/^#/ && ($1 in may) && !seen[$2 "," $3]++ { ++cores }
      END { print cores + 0 }'
}

binding_options() {  # CORES RANKS
  if [ "${BIND:-numa}" = none ] || [ "$1" -lt "$2" ]; then
    echo "--bind-to none --oversubscribe"
  else
    echo "--map-by numa --bind-to core"
  fi
}

fast_products() {  # dot products of Intel's processors without AMX are slower than fp32
  if grep -qw amx_bf16 /proc/cpuinfo || { grep -q AuthenticAMD /proc/cpuinfo && grep -qw avx512_bf16 /proc/cpuinfo; }; then
    echo bf16
  else
    echo fp32
  fi
}
