namespace Hydragen.Models;

/// <summary>Counts the bytes of weights read, reports the fraction, and stops a load that was cancelled. Thread-safe.</summary>
internal sealed class LoadProgress(IProgress<double>? progress, CancellationToken cancellationToken)
{
    private const int NumSteps = 200;
    private long _numRead;

    /// <summary>Bytes to read in all.</summary>
    public long TotalBytes { get; set; }

    public void Advance(long numBytes)
    {
        cancellationToken.ThrowIfCancellationRequested();
        long numRead = Interlocked.Add(ref _numRead, numBytes);
        if (progress is null || TotalBytes == 0) return;
        long step = numRead * NumSteps / TotalBytes;
        if (step != (numRead - numBytes) * NumSteps / TotalBytes) progress.Report(Math.Min(1, (double)numRead / TotalBytes));
    }
}
