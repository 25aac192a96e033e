using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>The product of two square BF16 matrices by cuBLASLt, summed in FP32: what matrix products can reach on a device.</summary>
internal sealed unsafe class MatrixProduct : IDisposable
{
    private const int BFloat16 = 14, Float32 = 0, ComputeFloat32 = 68, TransposeA = 3, Transposed = 1, MaxWorkspace = 1;
    private const long WorkspaceBytes = 32 << 20;

    private readonly CudaDevice _device;
    private readonly DeviceMemory _result, _workspace;
    private readonly byte[] _algorithm = new byte[MatrixProductApi.HeuristicResultBytes];
    private readonly nint _handle, _description, _layout;
    private readonly long _matrixBytes;

    /// <param name="device">The device.</param>
    /// <param name="kernels">Its kernels.</param>
    /// <param name="size">Rows and columns; a multiple of 128.</param>
    /// <exception cref="CudaException">The library refuses.</exception>
    public MatrixProduct(CudaDevice device, KernelLibrary kernels, int size)
    {
        _device = device;
        _device.MakeCurrent();
        _matrixBytes = (long)size * size * sizeof(ushort);
        // Memory that can be filled with numbers: a page of one head of 128 elements is 32 KiB.
        Operands = new CudaKvCache(device, kernels, new KvCacheShape(1, 1, 128, ElementType.BFloat16), (int)(2 * _matrixBytes >> 15));
        _result = device.Allocate(_matrixBytes);
        _workspace = device.Allocate(WorkspaceBytes);
        Check(MatrixProductApi.Create(out _handle), "cublasLtCreate");
        Check(MatrixProductApi.DescriptionCreate(out _description, ComputeFloat32, Float32), "cublasLtMatmulDescCreate");
        int transposed = Transposed;
        Check(MatrixProductApi.DescriptionSetAttribute(_description, TransposeA, &transposed, sizeof(int)), "cublasLtMatmulDescSetAttribute");
        Check(MatrixProductApi.LayoutCreate(out _layout, BFloat16, (ulong)size, (ulong)size, size), "cublasLtMatrixLayoutCreate");
        Check(MatrixProductApi.PreferenceCreate(out nint preference), "cublasLtMatmulPreferenceCreate");
        ulong workspaceBytes = (ulong)WorkspaceBytes;
        Check(MatrixProductApi.PreferenceSetAttribute(preference, MaxWorkspace, &workspaceBytes, sizeof(ulong)), "cublasLtMatmulPreferenceSetAttribute");
        fixed (byte* algorithm = _algorithm)
        {
            Check(
                MatrixProductApi.AlgorithmGetHeuristic(_handle, _description, _layout, _layout, _layout, _layout, preference, 1, algorithm, out int found),
                "cublasLtMatmulAlgoGetHeuristic");
            if (found == 0) throw new CudaException("cublasLtMatmulAlgoGetHeuristic", "none", null, $"cuBLASLt knows no product of {size} x {size} matrices.");
        }
        _ = MatrixProductApi.PreferenceDestroy(preference);
    }

    /// <summary>Memory of both operands.</summary>
    public CudaKvCache Operands { get; }

    /// <summary>Puts a product into the device's stream.</summary>
    public void Launch()
    {
        float one = 1, zero = 0;
        nint operands = Operands.PageAddress(0);
        fixed (byte* algorithm = _algorithm)
        {
            Check(
                MatrixProductApi.Multiply(
                    _handle, _description, &one, operands, _layout, operands + (nint)_matrixBytes, _layout, &zero, _result.Value, _layout,
                    _result.Value, _layout, algorithm, _workspace.Value, (nuint)WorkspaceBytes, _device.Stream.Value),
                "cublasLtMatmul");
        }
    }

    public void Dispose()
    {
        _ = MatrixProductApi.LayoutDestroy(_layout);
        _ = MatrixProductApi.DescriptionDestroy(_description);
        _ = MatrixProductApi.Destroy(_handle);
        _workspace.Dispose();
        _result.Dispose();
        Operands.Dispose();
    }

    private static void Check(int status, string call)
    {
        if (status != 0) throw new CudaException(call, $"status {status}", null, $"{call} failed: status {status} of cuBLASLt.");
    }
}
