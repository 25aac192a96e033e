using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>
/// Weights in device memory in the type that the model stores, rows of a whole number of 16-byte chunks, and rows of zeros up to a
/// multiple of eight, as the matrix products want them.
/// </summary>
internal sealed class CudaMatrix : PackedMatrix
{
    private const int Multiple = 8;

    private readonly DeviceMemory _weights;
    private readonly DeviceMemory? _bias, _typedBias;

    /// <param name="device">Keeps the weights.</param>
    /// <param name="loader">Reads them.</param>
    /// <param name="source">The rows; checked.</param>
    public CudaMatrix(CudaDevice device, WeightLoader loader, MatrixSource source)
        : base(source.OutputSize, source.InputSize, WeightType.Model)
    {
        Type = source.ElementType;
        Pitch = Round(InputSize);
        PaddedOutputSize = Round(OutputSize);
        long rowBytes = (long)Pitch * Type.SizeInBytes();
        _weights = device.Allocate(PaddedOutputSize * rowBytes);
        try
        {
            if (PaddedOutputSize > OutputSize) device.Clear(_weights);
            loader.Load(source, _weights.Value, (int)rowBytes);
            ReadOnlySpan<float> bias = source.Bias.Span;
            if (bias.IsEmpty) return;
            _bias = device.Allocate(bias.Length * sizeof(float));
            device.Upload(_bias.Value, bias);
            if (Type == ElementType.Float32 || !IsExact(bias, Type)) return;
            _typedBias = device.Allocate(bias.Length * sizeof(ushort));
            var bits = new ushort[bias.Length];
            for (int i = 0; i < bits.Length; i++) bits[i] = CudaBuffer.ToBits(bias[i], Type);
            device.Upload<ushort>(_typedBias.Value, bits);
        }
        catch
        {
            Dispose(disposing: true);
            throw;
        }
    }

    /// <summary>How an element is stored.</summary>
    public ElementType Type { get; }

    /// <summary>Elements from one row to the next.</summary>
    public int Pitch { get; }

    /// <summary>Rows that exist, zeros included.</summary>
    public int PaddedOutputSize { get; }

    public override long SizeInBytes => _weights.Bytes + (_bias?.Bytes ?? 0) + (_typedBias?.Bytes ?? 0);

    /// <summary>Device address of the first row.</summary>
    /// <exception cref="ObjectDisposedException">The matrix was freed.</exception>
    public nint Weights => _weights.Value;

    /// <summary>Whether a bias belongs to the rows.</summary>
    public bool HasBias => _bias is not null;

    /// <summary>Device address of the bias in FP32; 0 when there is none.</summary>
    public nint Bias => _bias?.Value ?? 0;

    /// <summary>Device address of the bias in a type; 0 when there is none, or none that is exact in that type.</summary>
    public nint BiasOf(ElementType type) => type == ElementType.Float32 ? Bias : type == Type ? _typedBias?.Value ?? 0 : 0;

    protected override void Dispose(bool disposing)
    {
        if (!disposing) return;
        _weights.Dispose();
        _bias?.Dispose();
        _typedBias?.Dispose();
    }

    private static int Round(int size) => checked(size + Multiple - 1) / Multiple * Multiple;

    private static bool IsExact(ReadOnlySpan<float> values, ElementType type)
    {
        foreach (float value in values)
        {
            if (CudaBuffer.FromBits(CudaBuffer.ToBits(value, type), type) != value) return false;
        }
        return true;
    }
}
