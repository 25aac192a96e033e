using Hydragen.Core;

namespace Hydragen.Cuda.Tests;

/// <summary>The GPU of this machine; tests that need one say so and are skipped where it is missing.</summary>
internal static class Gpu
{
    private static readonly Lazy<string?> Missing = new(() =>
        CudaEnvironment.Probe().Missing is { Count: > 0 } missing ? $"CUDA cannot be used: {string.Join("; ", missing)}." : null);

    /// <summary>A backend; skips the test where there can be none.</summary>
    public static CudaBackend Open() => Open(AttentionWork.DefaultWorkspaceBytes);

    /// <summary>The same with a bound on the workspace, or with kernels only that every GPU has.</summary>
    public static CudaBackend Open(long maxWorkspaceBytes, bool isPortable = false)
    {
        if (Missing.Value is { } reason) Assert.Skip(reason);
        return new CudaBackend(isPortable ? new CudaOptions { KernelSet = KernelSet.Portable.Name } : null, maxWorkspaceBytes);
    }

    /// <summary>The same, with CUDA graphs or without.</summary>
    public static CudaBackend Open(bool usesGraphs)
    {
        if (Missing.Value is { } reason) Assert.Skip(reason);
        return new CudaBackend(new CudaOptions { UsesGraphs = usesGraphs });
    }

    /// <summary>A backend that can run models; skips the test where there can be none.</summary>
    public static CudaBackend OpenForModels()
    {
        CudaBackend backend = Open();
        if (CudaEnvironment.MatrixLibraryVersion is not null) return backend;
        backend.Dispose();
        Assert.Skip(CudaEnvironment.MissingMatrixLibrary);
        return backend;
    }

    /// <summary>Compiles kernels on all cores, so that a test that runs them finds them on disk.</summary>
    public static void Compile(IEnumerable<KernelVariant> variants)
    {
        using var device = new CudaDevice(0);
        var compiler = new KernelCompiler(device.ComputeCapability, new KernelCache(KernelCache.DefaultFolder));
        Parallel.ForEach(variants.Distinct(), variant => compiler.Compile(variant));
    }

    /// <summary>Compiles the kernels of some head dimensions and types on all cores, so that a test that runs them finds them on disk.</summary>
    public static void Compile(int[] headDims, ElementType[] types, bool isPortable)
    {
        using var device = new CudaDevice(0);
        bool hasHopper = !isPortable && device.ComputeCapability == KernelCompiler.Hopper;
        Compile(headDims.SelectMany(headDim => types.SelectMany(type =>
            (KernelVariant[])[
                .. ((bool[])[false, true]).Where(isScaled => !isScaled || type.IsFloat8()).SelectMany(isScaled => new AttentionKernels(headDim, type, device.MaxSharedBytes, hasHopper, isScaled).All), new CacheKernels(headDim, type).Write])));
    }

    /// <summary>Compiles the kernels of all head dimensions on all cores, so that a test that runs them finds them on disk.</summary>
    public static CudaBackend OpenForAllHeadDimensions(ElementType type)
    {
        CudaBackend backend = Open();
        using var device = new CudaDevice(0);
        var compiler = new KernelCompiler(device.ComputeCapability, new KernelCache(KernelCache.DefaultFolder));
        IEnumerable<KernelVariant> variants = Enumerable.Range(1, AttentionShape.MaxHeadDim / 8).SelectMany(i =>
        {
            var kernels = new AttentionKernels(8 * i, type, device.MaxSharedBytes, device.ComputeCapability == KernelCompiler.Hopper);
            ItemClass[] classes = type == ElementType.Float32 ? [ItemClass.Scalar] : [ItemClass.Sequence, ItemClass.ShortSequence, ItemClass.CrowdedSequence, ItemClass.NarrowNode, ItemClass.WideNode];
            return (KernelVariant[])[.. classes.SelectMany(c => (KernelVariant[])[kernels.Of(c, false, false), kernels.Of(c, false, true)]).Distinct(), kernels.Merge, new CacheKernels(8 * i, type).Write];
        });
        Parallel.ForEach(variants, variant => compiler.Compile(variant));
        return backend;
    }
}
