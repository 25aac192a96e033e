using System.Reflection;
using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>Finds the libraries that this project calls, at run time.</summary>
internal static class NativeLibraries
{
    /// <summary>Import name of the driver.</summary>
    public const string Driver = "cuda";

    /// <summary>Import name of the run-time compiler.</summary>
    public const string Compiler = "nvrtc";

    /// <summary>Names a file to use as the run-time compiler.</summary>
    public const string CompilerVariable = "HYDRAGEN_NVRTC";

    /// <summary>Import name of the library of matrix products.</summary>
    public const string MatrixLibrary = "cublasLt";

    /// <summary>Names a file to use as the library of matrix products.</summary>
    public const string MatrixLibraryVariable = "HYDRAGEN_CUBLASLT";

    /// <summary>Import name of the library that connects GPUs.</summary>
    public const string Collectives = "nccl";

    /// <summary>Names a file to use as the library that connects GPUs.</summary>
    public const string CollectivesVariable = "HYDRAGEN_NCCL";

    private const string DriverFile = "libcuda.so.1";

    private static readonly string[] CompilerFiles = ["libnvrtc.so.13", "libnvrtc.so.12"];
    private static readonly string[] MatrixLibraryFiles = ["libcublasLt.so.13", "libcublasLt.so.12"];
    private static readonly string[] CollectivesFiles = ["libnccl.so.2"];

    private static readonly Lazy<nint> DriverHandle = new(LoadDriver);
    private static readonly Lazy<(nint Handle, string? Path)> CompilerHandle = new(LoadCompiler);
    private static readonly Lazy<(nint Handle, string? Path)> MatrixLibraryHandle = new(() => LoadFirst(MatrixLibraryVariable, MatrixLibraryFiles));
    private static readonly Lazy<(nint Handle, string? Path)> CollectivesHandle = new(() => LoadFirst(CollectivesVariable, CollectivesFiles));

    static NativeLibraries() => NativeLibrary.SetDllImportResolver(typeof(NativeLibraries).Assembly, Resolve);

    /// <summary>Whether the driver's library was found. Asking also makes the imports of this assembly find the libraries.</summary>
    public static bool HasDriver => DriverHandle.Value != 0;

    /// <summary>Whether a run-time compiler was found. Asking also makes the imports of this assembly find the libraries.</summary>
    public static bool HasCompiler => CompilerHandle.Value.Handle != 0;

    /// <summary>The file that was loaded; a bare name when the system's own search found it; null when there is none.</summary>
    public static string? CompilerPath => CompilerHandle.Value.Path;

    /// <summary>Whether a library of matrix products was found. Asking also makes the imports of this assembly find the libraries.</summary>
    public static bool HasMatrixLibrary => MatrixLibraryHandle.Value.Handle != 0;

    /// <summary>The file that was loaded; a bare name when the system's own search found it; null when there is none.</summary>
    public static string? MatrixLibraryPath => MatrixLibraryHandle.Value.Path;

    /// <summary>Whether a library that connects GPUs was found. Asking also makes the imports of this assembly find the libraries.</summary>
    public static bool HasCollectives => CollectivesHandle.Value.Handle != 0;

    /// <summary>The file that was loaded; a bare name when the system's own search found it; null when there is none.</summary>
    public static string? CollectivesPath => CollectivesHandle.Value.Path;

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? searchPath) => name switch
    {
        Driver => DriverHandle.Value,
        Compiler => CompilerHandle.Value.Handle,
        MatrixLibrary => MatrixLibraryHandle.Value.Handle,
        Collectives => CollectivesHandle.Value.Handle,
        _ => 0,
    };

    private static nint LoadDriver()
    {
        string[] folders = ["", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/local/nvidia/lib64", "/usr/lib/wsl/lib"];
        foreach (string folder in folders)
        {
            if (NativeLibrary.TryLoad(Path.Combine(folder, DriverFile), out nint handle)) return handle;
        }
        return 0;
    }

    private static (nint Handle, string? Path) LoadCompiler()
    {
        foreach (string path in Candidates(CompilerVariable, CompilerFiles))
        {
            LoadBuiltins(path);
            if (NativeLibrary.TryLoad(path, out nint handle)) return (handle, path);
        }
        return (0, null);
    }

    private static (nint Handle, string? Path) LoadFirst(string variable, string[] files)
    {
        foreach (string path in Candidates(variable, files))
        {
            if (NativeLibrary.TryLoad(path, out nint handle)) return (handle, path);
        }
        return (0, null);
    }

    /// <summary>The compiler opens its built-in functions by name, so they must be loaded before it where no search path leads to them.</summary>
    private static void LoadBuiltins(string compiler)
    {
        string? folder = Path.GetDirectoryName(compiler);
        if (string.IsNullOrEmpty(folder) || !Directory.Exists(folder)) return;
        foreach (string path in Directory.EnumerateFiles(folder, "libnvrtc-builtins.so*")) NativeLibrary.TryLoad(path, out _);
    }

    private static IEnumerable<string> Candidates(string variable, string[] files)
    {
        if (Environment.GetEnvironmentVariable(variable) is { Length: > 0 } chosen)
        {
            yield return chosen;
            yield break;
        }
        foreach (string file in files) yield return file;
        foreach (string folder in ToolkitFolders().Concat(PythonFolders()))
        {
            foreach (string file in files)
            {
                string path = Path.Combine(folder, file);
                if (File.Exists(path)) yield return path;
            }
        }
    }

    private static IEnumerable<string> ToolkitFolders()
    {
        var roots = new List<string>();
        foreach (string variable in (string[])["CUDA_HOME", "CUDA_PATH"])
        {
            if (Environment.GetEnvironmentVariable(variable) is { Length: > 0 } root) roots.Add(root);
        }
        roots.AddRange(Subfolders("/usr/local", "cuda*").OrderDescending(StringComparer.Ordinal));
        foreach (string root in roots)
        {
            yield return Path.Combine(root, "lib64");
            foreach (string target in Subfolders(Path.Combine(root, "targets"), "*-linux")) yield return Path.Combine(target, "lib");
        }
    }

    /// <summary>The library folders of NVIDIA's packages in the Python environments that a shell here would use.</summary>
    private static IEnumerable<string> PythonFolders()
    {
        var prefixes = new List<string>();
        foreach (string variable in (string[])["VIRTUAL_ENV", "CONDA_PREFIX"])
        {
            if (Environment.GetEnvironmentVariable(variable) is { Length: > 0 } prefix) prefixes.Add(prefix);
        }
        foreach (string folder in (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries))
        {
            if (File.Exists(Path.Combine(folder, "python3")) && Path.GetDirectoryName(folder.TrimEnd('/')) is { } prefix) prefixes.Add(prefix);
        }
        prefixes.Add(Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".local"));
        prefixes.Add("/usr/local");
        foreach (string prefix in prefixes.Distinct())
        {
            foreach (string python in Subfolders(Path.Combine(prefix, "lib"), "python3*"))
            {
                foreach (string packages in (string[])["site-packages", "dist-packages"])
                {
                    foreach (string package in Subfolders(Path.Combine(python, packages, "nvidia"), "*")) yield return Path.Combine(package, "lib");
                }
            }
        }
    }

    private static string[] Subfolders(string folder, string pattern)
    {
        try
        {
            return Directory.Exists(folder) ? Directory.GetDirectories(folder, pattern) : [];
        }
        catch (UnauthorizedAccessException)
        {
            return [];
        }
    }
}
