using System.Runtime.Intrinsics;
using Hydragen.Cli.Bench;

namespace Hydragen.Bench.Tests;

public sealed class ProbeTests
{
    private static readonly ProbeKernels[] All =
    [
        new ProbeKernels<Lanes512, Vector512<float>>(),
        new ProbeKernels<Lanes256, Vector256<float>>(),
        new ProbeKernels<Lanes128, Vector128<float>>(),
    ];

    [Fact]
    public void Reads_touch_every_element_once()
    {
        var values = new float[4096];
        for (int i = 0; i < values.Length; i++) values[i] = i % 7;
        float expected = values.Sum();
        foreach (ProbeKernels kernels in All)
        {
            Assert.Equal(expected, kernels.Read(values));
            Assert.Equal(expected, kernels.ReadStreams(values));
        }
    }

    [Fact]
    public void Arithmetic_really_runs()
    {
        // Every lane of x ← x/2 + 1 tends to 2; the last two sums are counted twice.
        var ones = new float[ProbeKernels.FedElements];
        Array.Fill(ones, 1);
        foreach (ProbeKernels kernels in All)
        {
            float expected = 2 * kernels.NumLanes * (ProbeKernels.NumSums + 2);
            Assert.Equal(expected, kernels.MultiplyAdd(1000), 0.01f);
            Assert.Equal(expected, kernels.MultiplyAddFromMemory(ones, 1000), 0.01f);
        }
    }

    [Fact]
    public void Operands_that_are_too_few_are_refused() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => ProbeKernels.Best.MultiplyAddFromMemory(new float[10], 1));

    [Fact]
    public void Large_arrays_have_the_length_that_was_asked_for()
    {
        Memory<float> array = LargeArray.Allocate(1 << 20);
        array.Span.Fill(3);
        Assert.Equal(1 << 20, array.Length);
        Assert.Equal(3, array.Span[^1]);
    }
}
