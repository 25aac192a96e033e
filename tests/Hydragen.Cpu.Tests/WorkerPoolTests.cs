namespace Hydragen.Cpu.Tests;

public sealed class WorkerPoolTests
{
    // Far more than any thread waits for a processor; ends a test that would never end.
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    public void Every_item_is_done_exactly_once(int numThreads)
    {
        using var pool = new WorkerPool(numThreads);
        for (int run = 0; run < 4000; run++)
        {
            int numItems = run % 37;
            var job = new CountingJob(numItems);
            pool.Run(job, numItems, run % 3 == 0 ? 0 : run % (numItems + 1));
            Assert.All(job.Counts, count => Assert.Equal(1, count));
            Assert.InRange(job.LargestWorker, 0, numThreads - 1);
        }
    }

    [Fact]
    public void Each_worker_begins_with_its_own_range()
    {
        const int numThreads = 6;
        using var pool = new WorkerPool(numThreads);
        var job = new MeetingJob(numThreads);
        pool.Run(job, numThreads);
        for (int item = 0; item < numThreads; item++) Assert.Equal(item, job.Workers[item]);
    }

    [Fact]
    public void Some_begin_with_items_bound_by_arithmetic_and_some_with_items_that_wait_for_memory()
    {
        using var pool = new WorkerPool(2);
        var job = new MeetingJob(2);
        pool.Run(job, 10, 6);
        Assert.Equal(0, job.Workers[0]);
        Assert.Equal(1, job.Workers[8]);
    }

    /// <summary>All the items of a job wait for one another, so a thread that sleeps on is missed for ever.</summary>
    [Theory]
    [InlineData(2, 0, 3000)]
    [InlineData(2, 20e-6, 3000)]
    [InlineData(7, 0, 1000)]
    [InlineData(7, 50e-6, 300)]
    [InlineData(16, 0, 500)]
    [InlineData(64, 0, 100)]
    [InlineData(64, 5e-6, 50)]
    public Task Every_thread_that_has_an_item_wakes_up(int numThreads, double spinSeconds, int numRuns) => FinishAsync(() =>
    {
        var random = new Random(numThreads);
        using var pool = new WorkerPool(numThreads, spinSeconds);
        for (int run = 0; run < numRuns; run++)
        {
            int numItems = random.Next(3) == 0 ? numThreads : random.Next(2, numThreads + 1);
            var job = new MeetingJob(numItems);
            pool.Run(job, numItems, random.Next(numItems + 1));
            Assert.Equal(numItems, job.Workers.Take(numItems).Distinct().Count());
            Pause(random);
        }
    });

    [Theory]
    [InlineData(2, 0, 30_000)]
    [InlineData(2, 50e-6, 30_000)]
    [InlineData(3, 10e-6, 10_000)]
    [InlineData(16, 0, 10_000)]
    [InlineData(16, 10e-6, 3000)]
    [InlineData(64, 0, 3000)]
    [InlineData(64, 2e-6, 1000)]
    public Task No_item_is_lost_doubled_or_done_outside_its_run(int numThreads, double spinSeconds, int numRuns) => FinishAsync(() =>
    {
        var random = new Random(numThreads);
        using var pool = new WorkerPool(numThreads, spinSeconds);
        // Taken in turn: a thread that is late by a job meets another object.
        CountingJob[] jobs = [new(4 * numThreads), new(4 * numThreads), new(4 * numThreads)];
        for (int run = 0; run < numRuns; run++)
        {
            CountingJob job = jobs[run % jobs.Length];
            int numItems = random.Next(2 * numThreads) == 0 ? job.Counts.Length : random.Next(2, numThreads + 3);
            Array.Clear(job.Counts);
            job.Spins = random.Next(4) == 0 ? random.Next(50) : 0;
            job.IsOpen = true;
            pool.Run(job, numItems, random.Next(numItems + 1));
            job.IsOpen = false;
            for (int item = 0; item < job.Counts.Length; item++)
            {
                if (job.Counts[item] != (item < numItems ? 1 : 0)) Assert.Fail($"Run {run}: item {item} of {numItems} was done {job.Counts[item]} times.");
            }
            if (random.Next(8) == 0) Pause(random);
        }
        Assert.All(jobs, job => Assert.Equal(0, job.NumOutside));
    });

    [Theory]
    [InlineData(0)]
    [InlineData(50e-6)]
    public void Idle_threads_sleep(double spinSeconds)
    {
        using var pool = new WorkerPool(4, spinSeconds);
        for (int run = 0; run < 3; run++)
        {
            pool.Run(new MeetingJob(4), 4);
            Assert.True(SpinWait.SpinUntil(() => pool.NumParked == 3, Patience));
        }
    }

    [Fact]
    public void An_exception_of_any_thread_reaches_the_caller_and_the_pool_lives_on()
    {
        using var pool = new WorkerPool(3);
        for (int run = 0; run < 50; run++)
        {
            InvalidOperationException thrown = Assert.Throws<InvalidOperationException>(() => pool.Run(new FailingJob(50), 100));
            Assert.Equal("item 50", thrown.Message);
        }
        var job = new CountingJob(30);
        pool.Run(job, 30);
        Assert.Equal(30, job.Counts.Sum());
    }

    [Fact]
    public void After_a_failure_each_thread_drops_what_is_left()
    {
        using var pool = new WorkerPool(4);
        for (int run = 0; run < 50; run++)
        {
            var job = new FailingJob(null);
            Assert.Throws<InvalidOperationException>(() => pool.Run(job, 100));
            Assert.InRange(job.NumStarted, 1, 4);
        }
        // None of the others is left over for the next job.
        pool.Run(new CountingJob(30), 30);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void An_item_cannot_start_a_job_nor_dispose(int numThreads)
    {
        using var pool = new WorkerPool(numThreads);
        Assert.Throws<InvalidOperationException>(() => pool.Run(new ActingJob(() => pool.Run(new CountingJob(8), 8)), 8));
        Assert.Throws<InvalidOperationException>(() => pool.Run(new ActingJob(pool.Dispose), 8));
        var job = new CountingJob(8);
        pool.Run(job, 8);
        Assert.Equal(8, job.Counts.Sum());
    }

    [Fact]
    public void A_second_caller_is_refused_while_a_job_runs()
    {
        using var pool = new WorkerPool(2);
        using var started = new ManualResetEventSlim();
        using var refused = new ManualResetEventSlim();
        var caller = new Thread(() => pool.Run(new ActingJob(() =>
        {
            started.Set();
            refused.Wait();
        }), 2));
        caller.Start();
        started.Wait();
        try
        {
            Assert.Throws<InvalidOperationException>(() => pool.Run(new CountingJob(2), 2));
            Assert.Throws<InvalidOperationException>(pool.Dispose);
        }
        finally
        {
            refused.Set();
            caller.Join();
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_disposed_pool_has_no_threads_and_refuses_work(bool afterFailure)
    {
        for (int run = 0; run < 50; run++)
        {
            var pool = new WorkerPool(4);
            if (afterFailure) Assert.Throws<InvalidOperationException>(() => pool.Run(new FailingJob(5), 20));
            else if (run % 2 == 0) pool.Run(new CountingJob(20), 20);
            pool.Dispose();
            pool.Dispose();
            Assert.Throws<ObjectDisposedException>(() => pool.Run(new CountingJob(20), 20));
            Assert.Equal(0, pool.NumLiveThreads);
        }
    }

    [Fact]
    public void A_run_allocates_nothing()
    {
        using var pool = new WorkerPool(3);
        var job = new CountingJob(20);
        pool.Run(job, 20);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int run = 0; run < 1000; run++) pool.Run(job, 20, 5);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    /// <summary>Fails, rather than hangs, when a run of a pool does not return.</summary>
    private static Task FinishAsync(Action runs) =>
        Task.Factory.StartNew(runs, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default)
            .WaitAsync(2 * Patience, TestContext.Current.CancellationToken);

    /// <summary>Lets the threads spin on, just fall asleep, or sleep.</summary>
    private static void Pause(Random random)
    {
        switch (random.Next(4))
        {
            case 0: return;
            case 1: Thread.Yield(); return;
            case 2: Thread.SpinWait(random.Next(3000)); return;
            default: Thread.Sleep(random.Next(2)); return;
        }
    }

    private sealed class CountingJob(int numItems) : Job
    {
        public readonly int[] Counts = new int[numItems];
        public int LargestWorker;
        public int NumOutside;
        public int Spins;
        public volatile bool IsOpen;

        public override void Execute(int item, int worker)
        {
            if (!IsOpen) Interlocked.Increment(ref NumOutside);
            Interlocked.Increment(ref Counts[item]);
            if (worker > LargestWorker) LargestWorker = worker;
            Thread.SpinWait(Spins);
        }
    }

    /// <summary>Every item waits until a number of items have been started.</summary>
    private sealed class MeetingJob(int numMeeting) : Job
    {
        public readonly int[] Workers = new int[Math.Max(numMeeting, 10)];
        private int _numStarted;

        public override void Execute(int item, int worker)
        {
            Workers[item] = worker;
            Interlocked.Increment(ref _numStarted);
            if (!SpinWait.SpinUntil(() => Volatile.Read(ref _numStarted) >= numMeeting, Patience))
                throw new TimeoutException($"{_numStarted} of {numMeeting} items were started.");
        }
    }

    /// <summary>One item fails, or all.</summary>
    private sealed class FailingJob(int? failing) : Job
    {
        public int NumStarted;

        public override void Execute(int item, int worker)
        {
            Interlocked.Increment(ref NumStarted);
            if (failing is null || item == failing) throw new InvalidOperationException($"item {item}");
        }
    }

    private sealed class ActingJob(Action action) : Job
    {
        public override void Execute(int item, int worker)
        {
            if (item == 0) action();
        }
    }
}
