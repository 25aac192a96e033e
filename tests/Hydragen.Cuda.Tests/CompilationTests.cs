using Hydragen.Core;

namespace Hydragen.Cuda.Tests;

/// <summary>Every kernel compiles, without spills and warnings; needs NVRTC but no GPU.</summary>
public sealed class CompilationTests
{
    // Shared memory that a block may have: Hopper, Ampere, consumer GPUs.
    private const int Hopper = 232448, Ampere = 166912, Consumer = 101376;

    public static TheoryData<int, int, ElementType> HeadDimensions
    {
        get
        {
            var cases = new TheoryData<int, int, ElementType>();
            foreach (int headDim in (int[])[64, 96, 128, 256])
            {
                cases.Add(90, headDim, ElementType.BFloat16);
                cases.Add(90, headDim, ElementType.Float16);
            }
            foreach (int headDim in (int[])[8, 40, 80, 112, 200])
            {
                cases.Add(90, headDim, ElementType.BFloat16);
            }
            foreach (int headDim in (int[])[8, 128, 256]) cases.Add(90, headDim, ElementType.Float32);
            foreach (int headDim in (int[])[40, 64, 128, 256]) cases.Add(90, headDim, ElementType.Int8);
            foreach (int headDim in (int[])[40, 64, 128, 256]) cases.Add(90, headDim, ElementType.Float8E4M3);
            cases.Add(90, 96, ElementType.Float8E5M2);
            cases.Add(80, 128, ElementType.Float8E4M3);
            cases.Add(80, 128, ElementType.BFloat16);
            cases.Add(80, 256, ElementType.Float16);
            cases.Add(89, 256, ElementType.BFloat16);
            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(HeadDimensions))]
    public void Kernels_compile_without_spills_and_warnings(int computeCapability, int headDim, ElementType type)
    {
        KernelCompiler compiler = Compiler(new Version(computeCapability / 10, computeCapability % 10), null);
        int maxSharedBytes = computeCapability == 90 ? Hopper : computeCapability == 80 ? Ampere : Consumer;
        var attention = new AttentionKernels(headDim, type, maxSharedBytes, computeCapability == 90);
        var cache = new CacheKernels(headDim, type);
        var scaled = new AttentionKernels(headDim, type, maxSharedBytes, computeCapability == 90, isScaled: true);
        KernelVariant[] variants = [.. attention.All, .. type.IsFloat8() ? scaled.All : [], cache.Write, cache.Copy, .. (KernelVariant[])(type.IsByte() ? [] : [cache.Largest]), CudaMeter.FillKernel(headDim, type), CudaMeter.ReadKernel];
        string[] expected = [.. KernelSource.Names.Where(name => name switch
        {
            "attention_node_hopper" => computeCapability == 90 && headDim is (64 or 128 or 256) && type != ElementType.Float32,
            "cache_largest" => !type.IsByte(),
            "attention_node" or "attention_sequence" => type != ElementType.Float32,
            _ => !OperatorCompilationTests.Names.Contains(name),
        })];
        Assert.Equal(expected.Order(), variants.Select(variant => variant.Name).Distinct().Order());
        Parallel.ForEach(variants, variant =>
        {
            Assert.InRange(variant.SharedBytes, 0, maxSharedBytes);
            ResourceUsage usage = compiler.Compile(variant).Usage;
            Assert.True(usage.SpillBytes == 0 && usage.StackBytes == 0, $"{variant} spills {usage.SpillBytes} bytes and has a stack of {usage.StackBytes}.");
            Assert.True(usage.Warnings.Count == 0, $"{variant}: {string.Join("; ", usage.Warnings)}");
            Assert.InRange(usage.NumRegisters, 1, 65536 / variant.NumThreads);
        });
    }

    [Fact]
    public void A_kernel_is_kept_and_found_again()
    {
        string folder = Path.Combine(Path.GetTempPath(), $"hydragen-kernels-{Guid.NewGuid():N}");
        try
        {
            var variant = new CacheKernels(8, ElementType.Float32).Write;
            CompiledKernel first = Compiler(new Version(9, 0), folder).Compile(variant);
            string[] files = [.. Directory.GetFiles(folder).Order()];
            Assert.Equal([".cubin", ".log"], files.Select(Path.GetExtension));
            // A mark shows that the second time reads the file.
            File.WriteAllBytes(files[0], [1, 2, 3]);
            CompiledKernel second = Compiler(new Version(9, 0), folder).Compile(variant);
            Assert.Equal([1, 2, 3], second.Binary);
            Assert.Equal(first.Usage.NumRegisters, second.Usage.NumRegisters);
            // Another constant is another file.
            Assert.Equal(first.Binary.Length, Compiler(new Version(9, 0), null).Compile(variant).Binary.Length);
            Compiler(new Version(9, 0), folder).Compile(new CacheKernels(16, ElementType.Float32).Write);
            Assert.Equal(4, Directory.GetFiles(folder).Length);
        }
        finally
        {
            if (Directory.Exists(folder)) Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void Small_things_of_other_kinds_are_kept_and_found_again()
    {
        string folder = Path.Combine(Path.GetTempPath(), $"hydragen-kernels-{Guid.NewGuid():N}");
        try
        {
            var cache = new KernelCache(folder);
            string key = KernelCache.Key(["a shape"]);
            var found = new byte[4];
            Assert.False(cache.TryRead(key, "matmul", found));
            cache.Write(key, "matmul", [1, 2, 3, 4]);
            Assert.True(cache.TryRead(key, "matmul", found));
            Assert.Equal([1, 2, 3, 4], found);
            Assert.False(cache.TryRead(key, "matmul", new byte[3]));
            Assert.False(cache.TryRead(key, "matmul", new byte[5]));
            Assert.False(cache.TryRead(key, "other", found));
            Assert.False(new KernelCache(null).TryRead(key, "matmul", found));
        }
        finally
        {
            if (Directory.Exists(folder)) Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void A_kernel_that_does_not_compile_is_named_with_the_compilers_words()
    {
        KernelCompiler compiler = Compiler(new Version(9, 0), null);
        CudaException exception = Assert.Throws<CudaException>(() => compiler.Compile(new KernelVariant("cache_write", "HEAD_DIM=nonsense STORAGE=0", 32, 0)));
        Assert.Equal("nvrtcCompileProgram", exception.Call);
        Assert.Contains("cache_write", exception.Kernel, StringComparison.Ordinal);
        Assert.Contains("nonsense", exception.Message, StringComparison.Ordinal);
    }

    private static KernelCompiler Compiler(Version computeCapability, string? folder)
    {
        if (!NativeLibraries.HasCompiler) Assert.Skip("NVRTC was not found.");
        return new KernelCompiler(computeCapability, new KernelCache(folder));
    }
}
