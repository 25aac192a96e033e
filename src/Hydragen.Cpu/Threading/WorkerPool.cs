using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;

namespace Hydragen.Cpu;

/// <summary>
/// Persistent threads that share out the items of a <see cref="Job"/>; the caller works too, as worker 0. Idle threads spin for
/// some microseconds, then sleep. One caller at a time.
/// </summary>
internal sealed class WorkerPool : IDisposable
{
    // Long enough to bridge the gap between two operators of a layer.
    private const int IdleSpins = 40;
    private const int SpinLength = 30;

    private readonly object _gate = new();
    private readonly Thread[] _threads;
    private readonly Shared _shared = new();
    private Job? _job;
    private int _numItems;
    private int _numActive;
    private int _numSleeping;
    private volatile int _generation;
    private bool _isOpen;
    private volatile bool _isDisposed;
    private volatile ExceptionDispatchInfo? _failure;

    public WorkerPool(int numThreads)
    {
        NumThreads = numThreads;
        _threads = new Thread[numThreads - 1];
        for (int i = 0; i < _threads.Length; i++)
        {
            int worker = i + 1;
            _threads[i] = new Thread(() => Work(worker)) { IsBackground = true, Name = $"Hydragen CPU {worker}" };
            _threads[i].Start();
        }
    }

    /// <summary>Threads that work, the caller included.</summary>
    public int NumThreads { get; }

    /// <summary>Background threads that have not ended.</summary>
    public int NumLiveThreads => _threads.Count(thread => thread.IsAlive);

    /// <summary>Background threads that work on a job now.</summary>
    public int NumActive => Volatile.Read(ref _numActive);

    /// <summary>Does all items and returns when they are done. The first exception of an item is thrown here; the items left are dropped.</summary>
    public void Run(Job job, int numItems)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        if (numItems <= 1 || _threads.Length == 0)
        {
            for (int item = 0; item < numItems; item++) job.Execute(item, 0);
            return;
        }
        lock (_gate)
        {
            _job = job;
            _numItems = numItems;
            _shared.NextItem = 0;
            _isOpen = true;
            _generation++;
            if (_numSleeping > 0) Monitor.PulseAll(_gate);
        }
        ExecuteItems(job, numItems, 0);
        lock (_gate)
        {
            _isOpen = false;
            _job = null;
        }
        SpinWait spin = default;
        while (Volatile.Read(ref _numActive) != 0) spin.SpinOnce(sleep1Threshold: -1);
        if (_failure is { } failure)
        {
            _failure = null;
            failure.Throw();
        }
    }

    public void Dispose()
    {
        if (_isDisposed) return;
        lock (_gate)
        {
            _isDisposed = true;
            _generation++;
            Monitor.PulseAll(_gate);
        }
        foreach (Thread thread in _threads) thread.Join();
    }

    private void Work(int worker)
    {
        int seen = 0;
        while (true)
        {
            for (int spin = 0; spin < IdleSpins && _generation == seen; spin++) Thread.SpinWait(SpinLength);
            Job? job;
            int numItems;
            lock (_gate)
            {
                while (_generation == seen)
                {
                    _numSleeping++;
                    Monitor.Wait(_gate);
                    _numSleeping--;
                }
                if (_isDisposed) return;
                seen = _generation;
                // A late riser finds the job closed and goes back to wait.
                if (!_isOpen) continue;
                job = _job!;
                numItems = _numItems;
                // Others leave without the lock.
                Interlocked.Increment(ref _numActive);
            }
            ExecuteItems(job, numItems, worker);
            Interlocked.Decrement(ref _numActive);
        }
    }

    private void ExecuteItems(Job job, int numItems, int worker)
    {
        try
        {
            for (int item; (item = Interlocked.Increment(ref _shared.NextItem) - 1) < numItems;) job.Execute(item, worker);
        }
#pragma warning disable CA1031 // Rethrown by Run.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            _failure ??= ExceptionDispatchInfo.Capture(exception);
            Volatile.Write(ref _shared.NextItem, int.MaxValue / 2);
        }
    }

    /// <summary>The item counter alone on its cache lines.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private sealed class Shared
    {
#pragma warning disable CS0169, IDE0051, CA1823 // Padding.
        private readonly Line _before;
        public int NextItem;
        private readonly Line _after;
#pragma warning restore CS0169, IDE0051, CA1823

        [InlineArray(128)]
        private struct Line
        {
            private byte _first;
        }
    }
}
