using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>
/// Matrix products by cuBLASLt: FP32 sums, kept in FP32 also where a product is split. For each shape the algorithms that the library
/// proposes, and the same with other clusters, are timed when the shape first occurs, and the fastest is kept, also on disk, so that later runs sum in the same order.
/// </summary>
internal sealed unsafe class MatrixMultiplier : IDisposable
{
    private const int MaxWorkspaceBytes = 64 << 20, NumProposed = 16;

    // The library's numbers of 1 x 1 to 8 x 1 blocks.
    private const int FirstMajorWithClusters = 9;
    private const ushort FirstClusters = 2, LastClusters = 11;

    // Below this, the time of a launch decides, and the library's first proposal is taken: always the same one.
    private const long MinTimedProducts = 1 << 26;

    private const int PreferredWorkspace = 1, PreferredReductions = 3, ReduceInComputeType = 2;

    private const string Extension = "matmul";

    // Part of the name of what is kept: how it was chosen.
    private const string Way = "with clusters, cold, medians";

    private readonly CudaDevice _device;
    private readonly KernelCache _cache;
    private readonly LibraryObject _handle, _preference;
    private readonly DeviceMemory _workspace;
    private readonly MatmulSearch _search;
    private readonly Dictionary<MatmulShape, MatmulPlan> _plans = [];

    /// <param name="device">Where to compute.</param>
    /// <param name="kernels">Kernels for it.</param>
    /// <param name="cache">Where algorithms are kept.</param>
    /// <exception cref="PlatformNotSupportedException">cuBLASLt is missing.</exception>
    public MatrixMultiplier(CudaDevice device, OperatorKernels kernels, KernelCache cache)
    {
        if (!NativeLibraries.HasMatrixLibrary) throw new PlatformNotSupportedException($"Models cannot run on CUDA: {CudaEnvironment.MissingMatrixLibrary}.");
        _device = device;
        _cache = cache;
        device.MakeCurrent();
        MatrixStatus.Check(MatrixApi.Create(out nint handle), "cublasLtCreate");
        _handle = new LibraryObject(handle, MatrixApi.Destroy);
        MatrixStatus.Check(MatrixApi.PreferenceCreate(out nint preference), "cublasLtMatmulPreferenceCreate");
        _preference = new LibraryObject(preference, MatrixApi.PreferenceDestroy);
        ulong workspaceBytes = MaxWorkspaceBytes;
        uint reductions = ReduceInComputeType;
        MatrixStatus.Check(MatrixApi.PreferenceSet(preference, PreferredWorkspace, &workspaceBytes, sizeof(ulong)), "cublasLtMatmulPreferenceSetAttribute");
        MatrixStatus.Check(MatrixApi.PreferenceSet(preference, PreferredReductions, &reductions, sizeof(uint)), "cublasLtMatmulPreferenceSetAttribute");
        _workspace = device.Allocate(MaxWorkspaceBytes);
        _search = new MatmulSearch(device, kernels, _workspace);
    }

    /// <summary>output = factor · input · weightsᵀ + bias, all dense and at addresses that are multiples of 256.</summary>
    /// <param name="shape">Sizes and types; the sizes of rows in bytes are multiples of 16.</param>
    /// <param name="weights"><c>[outputSize, inputSize]</c>.</param>
    /// <param name="input"><c>[numRows, inputSize]</c>.</param>
    /// <param name="bias"><c>[outputSize]</c> in the type of the output, or 0 without one.</param>
    /// <param name="factor">Factor on the product.</param>
    /// <param name="output"><c>[numRows, outputSize]</c>.</param>
    public void Multiply(MatmulShape shape, nint weights, nint input, nint bias, float factor, nint output)
    {
        if (!_plans.TryGetValue(shape, out MatmulPlan? plan))
        {
            plan = new MatmulPlan(shape);
            if (!TryTakeKept(plan)) Choose(plan, weights, input, bias, factor, output);
            _plans.Add(shape, plan);
        }
        MatrixStatus.Check(Run(plan, weights, input, bias, factor, output), "cublasLtMatmul", shape.ToString());
    }

    public void Dispose()
    {
        foreach (MatmulPlan plan in _plans.Values) plan.Dispose();
        _plans.Clear();
        _search.Dispose();
        _workspace.Dispose();
        _preference.Dispose();
        _handle.Dispose();
    }

    /// <summary>Takes the algorithm that an earlier run chose, if the library accepts it.</summary>
    private bool TryTakeKept(MatmulPlan plan)
    {
        if (plan.Shape.NumProducts < MinTimedProducts) return false;
        MatmulAlgorithm kept = default;
        if (!_cache.TryRead(KeyOf(plan.Shape), Extension, MemoryMarshal.AsBytes(new Span<MatmulAlgorithm>(ref kept)))) return false;
        plan.Algorithm = kept;
        return plan.IsPossible(_handle, MaxWorkspaceBytes);
    }

    /// <summary>The name of a shape's algorithm: what the library promises to understand again.</summary>
    private string KeyOf(MatmulShape shape) => KernelCache.Key(
        [Extension, CudaEnvironment.MatrixLibraryVersion ?? "", _device.Name, $"{_device.NumMultiprocessors}", $"{MaxWorkspaceBytes}", Way, shape.ToString()]);

    private void Choose(MatmulPlan plan, nint weights, nint input, nint bias, float factor, nint output)
    {
        Span<MatmulCandidate> proposed = stackalloc MatmulCandidate[NumProposed];
        proposed = proposed[..plan.Propose(_handle, _preference, proposed)];
        if (proposed.IsEmpty) throw new CudaException("cublasLtMatmulAlgoGetHeuristic", "no algorithm", plan.Shape.ToString(), $"cuBLASLt knows no algorithm for {plan.Shape}.");
        plan.Algorithm = proposed[0].Algorithm;
        if (plan.Shape.NumProducts < MinTimedProducts) return;
        var algorithms = new List<MatmulAlgorithm>();
        foreach (MatmulCandidate candidate in proposed) algorithms.Add(candidate.Algorithm);
        // The library is often wrong about clusters where rows are few.
        foreach (MatmulCandidate candidate in proposed)
        {
            for (ushort shape = FirstClusters; _device.ComputeCapability.Major >= FirstMajorWithClusters && shape <= LastClusters; shape++)
            {
                if (plan.TryTakeClusters(candidate.Algorithm, shape) && plan.IsPossible(_handle, MaxWorkspaceBytes)) algorithms.Add(plan.Algorithm);
            }
        }
        MatmulAlgorithm best = _search.Fastest(algorithms, algorithm =>
        {
            plan.Algorithm = algorithm;
            return Run(plan, weights, input, bias, factor, output) == 0;
        });
        plan.Algorithm = best;
        _cache.Write(KeyOf(plan.Shape), Extension, MemoryMarshal.AsBytes(new ReadOnlySpan<MatmulAlgorithm>(in best)));
    }

    private int Run(MatmulPlan plan, nint weights, nint input, nint bias, float factor, nint output) =>
        plan.Multiply(_handle, weights, input, bias, factor, output, _workspace, _device.Stream);
}
