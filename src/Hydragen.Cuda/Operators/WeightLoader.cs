using System.Runtime.ExceptionServices;
using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>
/// Moves weights from their source to the device through two pieces of pinned memory: while one travels, several threads fill the other.
/// </summary>
internal sealed unsafe class WeightLoader(CudaDevice device) : IDisposable
{
    private const int PieceBytes = 16 << 20, MaxThreads = 8, MinBytesPerThread = 1 << 20;

    private readonly HostMemory?[] _pieces = new HostMemory?[2];
    private readonly CudaEvent?[] _sent = new CudaEvent?[2];
    private int _next;

    /// <summary>Copies all rows.</summary>
    /// <param name="source">The rows.</param>
    /// <param name="destination">Device address of the first row.</param>
    /// <param name="pitchBytes">Bytes from one row to the next there; what is behind a row becomes zero.</param>
    public void Load(MatrixSource source, nint destination, int pitchBytes)
    {
        device.MakeCurrent();
        int rowsPerPiece = Math.Max(1, PieceBytes / pitchBytes);
        for (int first = 0; first < source.OutputSize; first += rowsPerPiece)
        {
            int numRows = Math.Min(rowsPerPiece, source.OutputSize - first);
            HostMemory piece = TakePiece(pitchBytes);
            Read(source, first, numRows, pitchBytes, (byte*)piece.Value);
            device.UploadPinned(destination + (nint)first * pitchBytes, (byte*)piece.Value, (long)numRows * pitchBytes);
            _sent[_next]!.Record(device.Stream);
            _next = 1 - _next;
        }
    }

    public void Dispose()
    {
        foreach (HostMemory? piece in _pieces) piece?.Dispose();
        foreach (CudaEvent? sent in _sent) sent?.Dispose();
    }

    /// <summary>The next piece, when what it held has arrived.</summary>
    private HostMemory TakePiece(int minBytes)
    {
        CudaEvent sent = _sent[_next] ??= new CudaEvent(device.Context);
        sent.Synchronize();
        if (_pieces[_next] is { } piece && piece.Bytes >= minBytes) return piece;
        _pieces[_next]?.Dispose();
        _pieces[_next] = null;
        return _pieces[_next] = new HostMemory(device.Context, Math.Max(minBytes, PieceBytes));
    }

    private static void Read(MatrixSource source, int first, int numRows, int pitchBytes, byte* destination)
    {
        long bytes = (long)numRows * pitchBytes;
        int numThreads = (int)Math.Clamp(bytes / MinBytesPerThread, 1, Math.Min(MaxThreads, Environment.ProcessorCount));
        if (numThreads == 1)
        {
            ReadPart(source, first, numRows, pitchBytes, destination);
            return;
        }
        try
        {
            Parallel.For(0, numThreads, thread =>
            {
                int begin = (int)((long)numRows * thread / numThreads), end = (int)((long)numRows * (thread + 1) / numThreads);
                ReadPart(source, first + begin, end - begin, pitchBytes, destination + (long)begin * pitchBytes);
            });
        }
        catch (AggregateException exception)
        {
            ExceptionDispatchInfo.Throw(exception.InnerExceptions[0]);
        }
    }

    private static void ReadPart(MatrixSource source, int first, int numRows, int pitchBytes, byte* destination)
    {
        int rowBytes = source.InputSize * source.ElementType.SizeInBytes();
        if (rowBytes == pitchBytes)
        {
            source.ReadRows(first, new Span<byte>(destination, numRows * rowBytes));
            return;
        }
        for (int row = 0; row < numRows; row++)
        {
            var padded = new Span<byte>(destination + (long)row * pitchBytes, pitchBytes);
            source.ReadRows(first + row, padded[..rowBytes]);
            padded[rowBytes..].Clear();
        }
    }
}
