#!/usr/bin/env python3
"""The peers of the lab's figures, on the same device: attention by cuDNN and FlashAttention-2 through PyTorch (A1), and the
ceiling of a bf16 matrix product. Run it beside `lab time`."""

import statistics

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


def median_ms(work, rounds=20, inner=2):
    for _ in range(3):
        work()
    times = []
    for _ in range(rounds):
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(inner):
            work()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop) / inner)
    return statistics.median(times)


def main():
    for n in (4096, 8192):
        a, b = (torch.randn(n, n, device="cuda", dtype=torch.bfloat16) for _ in range(2))
        print(f"matmul {n}: {2 * n**3 / median_ms(lambda: a @ b) / 1e9:.0f} TFLOP/s")
    for head_dim, seq, batch, heads in ((64, 2048, 8, 32), (128, 2048, 8, 16), (128, 8192, 2, 16)):
        q, k, v = (torch.randn(batch, seq, heads, head_dim, device="cuda", dtype=torch.bfloat16).transpose(1, 2) for _ in range(3))
        for causal in (False, True):
            flops = 4 * batch * heads * seq * seq * head_dim * (0.5 if causal else 1)
            for name, backend in (("cudnn", SDPBackend.CUDNN_ATTENTION), ("flash2", SDPBackend.FLASH_ATTENTION)):
                with sdpa_kernel(backend):
                    ms = median_ms(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal))
                print(f"A1 {name} D{head_dim} S{seq} batch {batch} heads {heads} {'causal' if causal else 'full'}: {ms:.3f} ms {flops / ms / 1e9:.0f} TFLOP/s")


if __name__ == "__main__":
    main()
