using Hydragen.Core;

namespace Hydragen.Cuda.Tests;

/// <summary>Every kernel of a model's operators compiles, without spills and warnings; needs NVRTC but no GPU.</summary>
public sealed class OperatorCompilationTests
{
    private static readonly ElementType[] Types = [.. ElementTypes.Dense];

    /// <summary>The kernels that are compiled here.</summary>
    public static IReadOnlyCollection<string> Names { get; } =
        ["embedding_lookup", "rms_norm", "rotary_append", "gated_activation", "linear_input", "linear_output", "row_maximum", "row_sample", "row_log_probability",
         "peer_sum", "peer_norm"];

    [Theory]
    [InlineData(80)]
    [InlineData(90)]
    public void Row_kernels_compile_without_spills_and_warnings(int computeCapability)
    {
        var variants = new List<KernelVariant> { OperatorVariants.RowMaximum, OperatorVariants.RowSample, OperatorVariants.RowLogProbability };
        foreach (ElementType type in Types)
        {
            foreach (int size in (int[])[1, 70, 768, 5120, 16384]) variants.Add(OperatorVariants.Embedding(type, size));
            foreach (ElementType output in Types)
            {
                foreach (int size in (int[])[45, 768, 5120, 8192, 16384]) variants.AddRange([OperatorVariants.Norm(type, output, false, size), OperatorVariants.Norm(type, output, true, size)]);
                foreach (ActivationKind activation in Enum.GetValues<ActivationKind>())
                {
                    foreach (int size in (int[])[45, 13824]) variants.Add(OperatorVariants.Activation(type, output, activation, size));
                }
                variants.Add(OperatorVariants.LinearInput(type, output));
                variants.Add(OperatorVariants.LinearOutput(output, OperatorVariants.Pieces(type, output)));
            }
        }
        Verify(computeCapability, variants);
    }

    [Theory]
    [InlineData(80)]
    [InlineData(90)]
    public void Rotary_kernels_compile_without_spills_and_warnings(int computeCapability)
    {
        var variants = new List<KernelVariant>();
        foreach (int headDim in (int[])[8, 40, 64, 80, 128, 256])
        {
            foreach (ElementType type in Types)
            {
                foreach (bool hasNorm in (bool[])[false, true])
                    variants.AddRange([OperatorVariants.RotaryAppend(headDim, type, type, type, hasNorm, true), OperatorVariants.RotaryAppend(headDim, type, ElementType.Float32, type, hasNorm, false)]);
            }
        }
        Verify(computeCapability, variants);
    }

    [Fact]
    public void Every_kernel_of_a_step_waits_for_the_one_before()
    {
        foreach (string name in Names)
        {
            string source = KernelSource.Of(name);
            int entry = source.IndexOf("__global__", StringComparison.Ordinal);
            int wait = Math.Max(source.IndexOf("    take_turn();", StringComparison.Ordinal), source.IndexOf("    wait_for_dependency();", StringComparison.Ordinal));
            Assert.True(entry >= 0 && wait > entry, $"{name} is launched to start early, but does not wait.");
            // Blocks that leave before would end before the kernels before this one.
            Assert.DoesNotContain("return", source[entry..wait], StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(80)]
    [InlineData(90)]
    public void Kernels_that_add_ranks_up_compile_without_spills_and_warnings(int computeCapability)
    {
        var variants = new List<KernelVariant>();
        foreach (int numRanks in (int[])[2, 3, 4, PeerMemory.MaxRanks])
        {
            foreach (ElementType type in Types)
            {
                variants.Add(PeerKernels.Sum(type, numRanks));
                foreach (int size in (int[])[8, 768, 5120, 8192, 16384]) variants.AddRange([PeerKernels.Norm(type, type, size, numRanks), PeerKernels.Norm(ElementType.Float32, type, size, numRanks)]);
            }
        }
        Verify(computeCapability, variants);
    }

    private static void Verify(int computeCapability, IEnumerable<KernelVariant> variants)
    {
        if (!NativeLibraries.HasCompiler) Assert.Skip("NVRTC was not found.");
        var compiler = new KernelCompiler(new Version(computeCapability / 10, computeCapability % 10), new KernelCache(null));
        Parallel.ForEach(variants.Distinct(), variant =>
        {
            Assert.Contains(variant.Name, Names);
            ResourceUsage usage = compiler.Compile(variant).Usage;
            Assert.True(usage.SpillBytes == 0 && usage.StackBytes == 0, $"{variant} spills {usage.SpillBytes} bytes and has a stack of {usage.StackBytes}.");
            Assert.True(usage.Warnings.Count == 0, $"{variant}: {string.Join("; ", usage.Warnings)}");
            Assert.InRange(usage.NumRegisters, 1, 65536 / variant.NumThreads);
        });
    }
}
