using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>The product of two square BF16 matrices by cuBLASLt, summed in FP32: what matrix products can reach on a device.</summary>
internal sealed class MatrixProduct : IDisposable
{
    private readonly DeviceMemory _result;
    private readonly MatrixMultiplier _multiplier;
    private readonly MatmulShape _shape;
    private readonly long _matrixBytes;

    /// <param name="device">The device.</param>
    /// <param name="kernels">Its kernels.</param>
    /// <param name="size">Rows and columns; a multiple of 128.</param>
    /// <exception cref="CudaException">The library refuses.</exception>
    public MatrixProduct(CudaDevice device, KernelLibrary kernels, int size)
    {
        device.MakeCurrent();
        _matrixBytes = (long)size * size * sizeof(ushort);
        _shape = new MatmulShape(size, size, size, ElementType.BFloat16, ElementType.BFloat16, HasBias: false);
        // Memory that can be filled with numbers: a page of one head of 128 elements is 32 KiB.
        Operands = new CudaKvCache(device, kernels, new KvCacheShape(1, 1, 128, ElementType.BFloat16), (int)(2 * _matrixBytes >> 15));
        _result = device.Allocate(_matrixBytes);
        _multiplier = new MatrixMultiplier(device, new OperatorKernels(kernels), new KernelCache(null));
    }

    /// <summary>Memory of both operands.</summary>
    public CudaKvCache Operands { get; }

    /// <summary>Puts a product into the device's stream; the first one also chooses its algorithm.</summary>
    public void Launch()
    {
        nint operands = Operands.PageAddress(0);
        _multiplier.Multiply(_shape, operands, operands + (nint)_matrixBytes, 0, 1, _result.Value);
    }

    public void Dispose()
    {
        _multiplier.Dispose();
        _result.Dispose();
        Operands.Dispose();
    }
}
